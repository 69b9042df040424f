"""Mappings: each leaf of the target with its expression, and a pane to try one on a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any

import flask
import msgspec
from werkzeug.exceptions import NotFound

from esb.admin import pages
from esb.admin.flows import run_cases_of
from esb.admin.services import Services
from esb.config.definition import LoadedMapping
from esb.flow.usage import mapping_uses
from esb.mapping import Constant, Each, Fields, Items, Leaf, Node, Pointer, parse
from esb.worker.trial import Laboratory, Trial


class Row(msgspec.Struct, frozen=True):
    """One leaf: its path in the target, what fills it, and what holds when that gives nothing."""

    depth: int
    name: str
    kind: str  # object, list, each, expression or constant
    text: str
    note: str
    line: int


def blueprint(services: Services) -> flask.Blueprint:
    """``/mappings``."""
    area = flask.Blueprint("mappings", __name__, url_prefix="/mappings")
    laboratory, running = Laboratory(), Lock()
    uses = mapping_uses(services.definition)

    @area.get("")
    def index() -> Any:
        return flask.render_template(
            "mappings/index.html", mappings=list(services.definition.mappings.values()), uses=uses
        )

    @area.get("/<name>")
    def show(name: str) -> Any:
        mapping = _find(services, name)
        return _page(services, mapping, uses, document=_body(services, pages.arg("message")))

    @area.post("/<name>")
    def attempt(name: str) -> Any:
        mapping = _find(services, name)
        document = flask.request.form.get("document", "")
        trial = laboratory.mapping(services.definition, name, document.encode("utf-8", "replace"))
        return _page(services, mapping, uses, document=document, trial=trial)

    @area.post("/<name>/cases")
    def cases(name: str) -> Any:
        mapping = _find(services, name)
        with running:
            results, whole = run_cases_of(services, mapping.name, "mapping")
        return _page(services, mapping, uses, cases=results, whole=whole)

    return area


def rows_of(mapping: LoadedMapping) -> list[Row]:
    """The leaves of a mapping, in the order of its file."""
    return list(_rows("", parse(mapping.set), (), 0, mapping.lines))


def _rows(name: str, node: Node, at: Pointer, depth: int, lines: Mapping[Pointer, int]) -> Iterator[Row]:
    line = next((lines[at[:end]] for end in range(len(at), 0, -1) if at[:end] in lines), 0)
    if isinstance(node, Leaf):
        yield Row(depth, name, "expression", node.text, _note(node), line)
    elif isinstance(node, Constant):
        yield Row(depth, name, "constant", msgspec.json.encode(node.value).decode(), "", line)
    elif isinstance(node, Each):
        yield Row(depth, name, "each", node.text, "required" if node.required else "", line)
        yield from _below(node.body, depth, lines)
    else:
        if name:
            yield Row(depth, name, "list" if isinstance(node, Items) else "object", "", "", line)
        yield from _below(node, depth if name else depth - 1, lines)


def _below(node: Node, depth: int, lines: Mapping[Pointer, int]) -> Iterator[Row]:
    if isinstance(node, Fields):
        for name, child in node.fields:
            yield from _rows(name, child, (*node.pointer, name), depth + 1, lines)
    elif isinstance(node, Items):
        for number, child in enumerate(node.items):
            yield from _rows(f"[{number}]", child, (*node.pointer, number), depth + 1, lines)
    else:
        yield from _rows("(element)", node, node.pointer, depth + 1, lines)


def _note(leaf: Leaf) -> str:
    words = ["required"] if leaf.required else []
    if leaf.default:
        words.append(f"else {msgspec.json.encode(leaf.default[0]).decode()}")
    return ", ".join(words)


def _body(services: Services, id: str) -> str:
    """What a message carried, as far as the journey keeps it; masked fields are covered there."""
    if not id:
        return ""
    with services.store.reading() as t:
        hops = t.tracking.find(id=id, limit=10)
        found = (t.tracking.get(hop.message_id, hop.place) for hop in hops)
        body = next((hop.body for hop in found if hop is not None and hop.body), None)
    if body is None:
        pages.notice(f"No body of a message {id} is stored.", "warn")
        return ""
    return body.decode("utf-8", "replace")


def _find(services: Services, name: str) -> LoadedMapping:
    mapping = services.definition.mappings.get(name)
    if mapping is None:
        raise NotFound(f"There is no mapping {name}.")
    return mapping


def _page(services: Services, mapping: LoadedMapping, uses: Any, **more: Any) -> str:
    tables = {word: services.definition.lookups[file] for word, file in mapping.lookups.items()}
    trial: Trial | None = more.pop("trial", None)
    made = trial is not None and trial.result is not msgspec.UNSET
    shown = msgspec.json.format(msgspec.json.encode(trial.result), indent=2).decode() if trial and made else ""
    values: dict[str, Any] = {"document": "", "cases": None, "whole": True}
    return flask.render_template(
        "mappings/show.html", mapping=mapping, rows=rows_of(mapping), tables=tables, uses=uses.get(mapping.name, []),
        source=services.definition.files.get(mapping.file, "").splitlines(), trial=trial, made=shown, **(values | more),
    )  # fmt: skip
