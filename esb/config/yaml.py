"""YAML text -> documents with places: YAML 1.2 scalars, nothing executed, nothing expanded without bound.

PyYAML's C parser does the parsing; the schema is ours because PyYAML's is YAML 1.1, where ``no`` is false, ``12:30``
a number and a repeated key silently wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]  # its stubs leave it out

from esb.config.findings import Finding
from esb.config.mangled import explain_syntax_error
from esb.config.tree import Map, Place, Seq

MAX_VALUES = 100_000  # of one document, aliases expanded
MAX_DEPTH = 60

_CORE: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_CORE |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_RADIX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NUMBER_LIKE = re.compile(r"[-+]?[0-9.]")
_OLD_WORDS = frozenset(form for word in ("yes", "no", "on", "off") for form in (word, word.capitalize(), word.upper()))
_OLD_NUMBERS = (
    (re.compile(r"[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"), "a number in base 60"),
    (re.compile(r"[-+]?0[0-9_]+"), "an octal number"),
    (re.compile(r"[-+]?0b[01_]+"), "a binary number"),
    (re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?"), "a number"),
)


_TAGS = frozenset({"plain", "text", "map", "seq"})  # what the resolver below gives where nothing is written


class _Composer(CParser):
    """The C parser with a resolver that only tells plain scalars from quoted ones."""

    def resolve(self, kind: type, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return "plain" if implicit[0] else "text"
        return "map" if kind is yaml.MappingNode else "seq"

    def descend_resolver(self, node: Any, index: Any) -> None:
        """Needed by the parser; there is nothing to resolve by path."""

    def ascend_resolver(self) -> None:
        """Needed by the parser; there is nothing to resolve by path."""


def documents(text: str, file: str, findings: list[Finding]) -> list[Any]:
    """The documents of one file, as far as it can be read; what is wrong goes into ``findings``."""
    found = []
    try:
        for node in _nodes(text):
            found.append(_Reader(file, text, findings).value(node, 0))
    except yaml.YAMLError as error:
        findings.append(explain_syntax_error(error, text, file))
    except RecursionError:
        findings.append(_finding(Place(file), "yaml-syntax", "This file is nested too deeply to be read."))
    return found


def _nodes(text: str) -> Iterator[yaml.Node]:
    composer = _Composer(text)
    try:
        while composer.check_node():
            node = composer.get_node()
            assert node is not None  # there is one: it was asked
            yield node
    finally:
        composer.dispose()


def scalar(text: str) -> Any:
    """A plain scalar by the core schema of YAML 1.2; numbers with leading zeros stay text (they are codes)."""
    if text in _CORE:
        return _CORE[text]
    if not _NUMBER_LIKE.match(text):
        return text
    if _INT.fullmatch(text) and len(text) <= 20:
        return int(text)
    if _RADIX.fullmatch(text):
        return int(text, 0)
    leading_zero = re.match(r"[-+]?0[0-9]", text)
    return float(text) if _FLOAT.fullmatch(text) and not leading_zero and not _INT.fullmatch(text) else text


def _old_meaning(text: str) -> str:
    if text in _OLD_WORDS:
        return "true" if text.lower() in ("yes", "on") else "false"
    if not _NUMBER_LIKE.match(text):
        return ""
    return next((meaning for pattern, meaning in _OLD_NUMBERS if pattern.fullmatch(text)), "")


def _finding(at: Place, kind: Any, text: str, **rest: Any) -> Finding:
    return Finding(file=at.file, line=at.line, column=at.column, kind=kind, text=text, **rest)


class _Reader:
    """Turns the nodes of one document into values."""

    def __init__(self, file: str, text: str, findings: list[Finding]) -> None:
        self.file = file
        self.lines = text.split("\n")
        self.findings = findings
        self.count = 0
        self.above: set[int] = set()

    def place(self, node: yaml.Node) -> Place:
        start, end = node.start_mark, node.end_mark
        style = (node.style or "") if isinstance(node, yaml.ScalarNode) else ""
        return Place(self.file, start.line + 1, start.column + 1, style, end.line + 1, end.column + 1)

    def report(self, at: Place, kind: str, text: str, **rest: Any) -> None:
        self.findings.append(_finding(at, kind, text, **rest))

    def value(self, node: yaml.Node, depth: int) -> Any:
        self.count += 1
        if self.count > MAX_VALUES or depth > MAX_DEPTH or id(node) in self.above:
            mark = node.start_mark
            raise yaml.MarkedYAMLError(
                problem="this document is too large, too deep, or its aliases expand without end", problem_mark=mark
            )
        if node.tag not in _TAGS:
            self.report(self.place(node), "yaml-trap", f"Tags are not supported: remove {node.tag!r}.", value=node.tag)
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        assert isinstance(node, yaml.MappingNode | yaml.SequenceNode)  # there is no fourth kind
        self.above.add(id(node))
        value = self.map(node, depth) if isinstance(node, yaml.MappingNode) else self.seq(node, depth)
        self.above.discard(id(node))
        return value

    def scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag != "plain":
            return node.value
        value = scalar(node.value)
        meaning = _old_meaning(node.value) if isinstance(value, str) else ""
        if meaning:
            self.trap(node, meaning)
        return value

    def trap(self, node: yaml.ScalarNode, meaning: str) -> None:
        text = f"Older YAML readers take {node.value} for {meaning}; here it is text. Write '{node.value}'."
        if meaning in ("true", "false"):
            text = text[:-1] + f", or {meaning} if you mean that."
        self.report(self.place(node), "yaml-trap", text, level="warning", value=node.value)

    def seq(self, node: yaml.SequenceNode, depth: int) -> Seq:
        result = Seq(self.place(node))
        for item in node.value:
            result.put(self.value(item, depth + 1), self.place(item))
        return result

    def map(self, node: yaml.MappingNode, depth: int) -> Map:
        result = Map(self.place(node))
        for key_node, value_node in node.value:
            key_at = self.place(key_node)
            if self.usable(key_node, key_at, result):
                result.put(key_node.value, self.value(value_node, depth + 1), key_at, self.place(value_node))
        return result

    def usable(self, node: yaml.Node, at: Place, into: Map) -> bool:
        """Whether this key may enter: text, not a merge key, not there yet."""
        if not isinstance(node, yaml.ScalarNode) or (
            node.tag == "plain" and node.value in _CORE and node.value in ("", "~")
        ):
            self.report(at, "yaml-trap", "A key must be a word; write it before the colon.")
        elif node.value == "<<" and node.tag == "plain":
            self.report(
                at, "yaml-trap", "Merge keys are not part of YAML 1.2: write the keys out, or use an overlay file."
            )
        elif node.value in into:
            first = into.keys_at[node.value].line
            self.report(
                at,
                "duplicate-key",
                f"{node.value!r} stands here again (first in line {first}); keep one.",
                value=node.value,
            )
        else:
            return True
        return False


def written(value: Any) -> str:
    """Plain values as YAML that :func:`documents` reads as the same."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 would, lists indented; nothing is written as an alias of something above."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)
