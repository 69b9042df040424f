"""A journey's tree as plain lines, with the branches before each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from esb.worker.journey import Node


class Row(msgspec.Struct, frozen=True):
    """A line as printed: the branches drawn before it, and the node (None: ``text`` goes on below a node)."""

    branch: str
    node: Node | None = None
    text: str = ""
    failed: bool = False


def rows(nodes: Sequence[Node], indent: str = "", top: bool = True) -> Iterator[Row]:
    """The tree line by line, with the branches before each."""
    for n, node in enumerate(nodes):
        last = n == len(nodes) - 1
        yield Row(indent + ("" if top else "└─ " if last else "├─ "), node)
        inner = indent + ("" if top else "   " if last else "│  ")
        beside = inner + ("│  " if node.below else "   ")
        yield from (Row(beside, text=line, failed=True) for line in node.error.splitlines())
        yield from (Row(beside, text=line) for line in node.body.splitlines())
        yield from rows(node.below, inner, top=False)
