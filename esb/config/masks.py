"""What contracts hide: each ``x-mask`` leads to a field that there is, and what is hidden is shown nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from importlib.util import find_spec
from typing import Any

import msgspec

from esb.config.expressions import Context, element_context
from esb.config.fields import Missing, View, hidden_in, view_of
from esb.config.findings import Report, nearest
from esb.config.models import BusConfig
from esb.config.tree import Map, Spot, root
from esb.expression_paths import paths
from esb.mapping import Each, Fields, Items, Leaf, Node
from esb.masking import HEADERS, KEYWORD, Path, Tree, beneath, both, covers, declared, first_masked, path_of, paths_in


def check_masks(ref: str, schemas: Mapping[str, Any], spot: Spot, report: Report) -> None:
    """The masks of one contract that is usable otherwise.

    Args:
        ref: its name.
        schemas: all contracts.
        spot: its file, for places.
        report: takes a finding for each path that leads nowhere, and for a business key that would show what is hidden.
    """
    hidden: list[Path] = []
    for number, text in enumerate(declared(schemas[ref])):
        if not text.startswith(HEADERS):
            hidden.append(path_of(text))
            _check_path(text, hidden[-1], ref, schemas, spot.at(KEYWORD, number), report)
    subject = schemas[ref].get("x-subject")
    shown = [use.path for use in paths(subject)] if isinstance(subject, str) else []
    for path in hidden:
        if any(_meet(path, other) for other in shown):
            text = f"The business key is shown and searched for, and {'.'.join(path)} is hidden: use another field."
            report.at(spot.at("x-subject"), "bad-contract", text)


def _check_path(text: str, path: Path, ref: str, schemas: Mapping[str, Any], spot: Spot, report: Report) -> None:
    view = view_of(ref, schemas)
    found = view.find(path) if view else None
    if isinstance(found, Missing):
        name = path[found.index]
        said = f"Contract {ref} has no field {name!r} for the mask {text}, so nothing would be hidden."
        report.at(spot, "unknown-path", said, hint=nearest(name, found.known))


class Carried(msgspec.Struct, frozen=True):
    """Something hidden that an expression puts into its result: where from, and what of the result is hidden then."""

    ref: str
    path: Path
    tree: Tree  # an empty one: all of the result


def carried(text: str, context: Context, *, wary: bool = False) -> Iterator[Carried]:
    """What is hidden where an expression takes it from. What only decides about the result is not in it.

    An object that is looked into (``lines.(sku & qty)``) may be meant for its other fields: it counts if ``wary``.
    """
    views = {"": context.view, **context.variables}
    if not any(view and view.hidden for view in views.values()):
        return
    for use in paths(text):
        view = views.get(use.variable)
        tree = beneath(view.hidden, use.path) if view and not use.asked else None
        partly = bool(tree) and use.text != text.strip()
        if view is None or tree is None or (partly and not wary):
            continue
        yield Carried(view.ref, (*use.path, *next(paths_in(tree))), {} if partly else tree)


def kept_of(answer: View | None, node: Node) -> Tree | None:
    """What is hidden in the fields that a tree of leaves takes from ``$answer``: as much of each as is hidden there."""
    if answer is None or answer.hidden is None:
        return None
    return reduce(both, map(_alone, _kept(node, Context(None, {"answer": answer}), ())), None)


def _kept(node: Node, context: Context, at: Path) -> Iterator[Path]:
    if isinstance(node, Leaf):
        yield from ((*at, *path) for found in carried(node.text, context, wary=True) for path in paths_in(found.tree))
    elif isinstance(node, Each):
        yield from _kept(node.body, element_context(node.text, context), at)
    elif isinstance(node, Fields):
        for name, child in node.fields:
            yield from _kept(child, context, (*at, name))
    elif isinstance(node, Items):
        for child in node.items:
            yield from _kept(child, context, at)


def check_leaf(text: str, spot: Spot, context: Context, cover: Tree | None, to: str, report: Report) -> None:
    """A field that is hidden must not be seen where a mapping puts it.

    Args:
        text, spot: the leaf's expression, and where it stands.
        context: what it may use.
        cover: what is hidden in the place that it fills.
        to: the contract of that place, or nothing.
        report: takes a warning.
    """
    for found in carried(text, context):
        if not covers(cover, found.tree):
            advice = f"list it in the x-mask of {to}, too" if to else "put it into a contract that hides it"
            said = f"{found.ref} hides {'.'.join(found.path)}, and what is made of it here would be seen: {advice}."
            report.at(spot, "unmasked", said, level="warning")
            return


def check_key(key: Any, spot: Spot, context: Context, report: Report) -> None:
    """What sagas and groups of messages are told apart by is shown and searched for."""
    for found in carried(key, context) if isinstance(key, str) else ():
        text = f"This key is stored and shown, and {found.ref} hides {'.'.join(found.path)}: use another field."
        report.at(spot, "unmasked", text)
        return


def check_whole(text: str, context: Context, spot: Spot, report: Report) -> None:
    """What is hidden as a whole cannot become documents of their own: of those nothing would be hidden."""
    for found in carried(text, context) if isinstance(text, str) else ():
        if not found.tree:
            said = f"{found.ref} hides {'.'.join(found.path)}, and the documents made of it here would be seen: "
            report.at(spot, "unmasked", f"{said}hide fields within it instead.", level="warning")
            return


def check_relabelled(view: View | None, ref: str, everywhere: Tree | None, spot: Spot, report: Report) -> None:
    """A document that goes on as it is under another contract, which must hide what is hidden in it.

    Args:
        view: what is in force.
        ref: the contract under which it goes on.
        everywhere: what is hidden whatever the contract says.
        spot, report: where that stands, and what takes a warning.
    """
    if view is None or view.hidden is None:
        return
    cover = both(hidden_in(ref, view.schemas), everywhere)
    seen = [path for path in paths_in(view.hidden) if not covers(cover, _alone(path))]
    if seen:
        text = f"{view.ref} hides {'.'.join(seen[0])}, and {ref}, under which the document goes on, does not: "
        report.at(spot, "unmasked", f"{text}list it in the x-mask of {ref}, too.", level="warning")


def _alone(path: Path) -> Tree:
    tree: Tree = {}
    for name in reversed(path):
        tree = {name: tree}
    return tree


def check_encryption(config: BusConfig, document: Map | None, schemas: Mapping[str, Any], report: Report) -> None:
    """What the bus keeps whole of masked messages is encrypted: that needs the library, and a key that all know."""
    masked, keys = first_masked(schemas), config.encryption.keys
    spot = root(document, "esb.yaml")
    if (masked or keys) and not find_spec("cryptography"):
        why = f"{masked} masks fields" if masked else "encryption.keys is set"
        text = f"{why}, so what the store keeps of messages is encrypted: pip install 'esb[encryption]'."
        report.at(spot.at("encryption"), "unencrypted", text, value=None)
    elif masked and not keys and config.database != "embedded":
        text = (
            f"{masked} masks fields, so what PostgreSQL keeps of messages is encrypted, with a key that every machine "
        )
        advice = 'of the bus has. Add encryption: {keys: ["secret:env:ESB_KEY"]}; any long text will do.'
        report.at(spot.at("database"), "unencrypted", text + advice)


def _meet(one: Path, other: tuple[str, ...]) -> bool:
    """Whether one lies within the other."""
    return bool(other) and one[: len(other)] == other[: len(one)]
