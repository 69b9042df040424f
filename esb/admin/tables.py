"""Routing tables: where messages with each key go, what people have set instead, and setting it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flask
import msgspec
from werkzeug.exceptions import BadRequest, NotFound

from esb.admin import pages
from esb.admin.access import requires
from esb.admin.services import Services
from esb.admin.switching import change, tell
from esb.flow.switchable import Switchable, Table, switchable
from esb.store import Switch

PAGE = 50


class Row(msgspec.Struct, frozen=True):
    """One key: where its messages go, what the configuration says ("": nothing), and who has set it otherwise."""

    key: str
    words: str
    configured: str
    switch: Switch | None = None


def blueprint(services: Services) -> flask.Blueprint:
    """``/tables``."""
    area = flask.Blueprint("tables", __name__, url_prefix="/tables")
    known = switchable(services.definition)

    @area.get("")
    def index() -> Any:
        set_ = _set(services)
        names = sorted({*known.tables, *(one.name for one in set_)})
        found = [(_table(known, name), [one for one in set_ if one.name == name]) for name in names]
        return flask.render_template("tables/index.html", tables=found)

    @area.get("/<name>")
    def show(name: str) -> Any:
        return _page(services, known, name)

    @area.post("/<name>/set")
    @requires("operator")
    def put(name: str) -> Any:
        key, words = pages.field("key"), pages.field("words")
        if not key or not words:
            raise BadRequest("Say which key, and where its messages are to go.")
        _find(services, known, name)
        changed = change(services, known, "table", name, key, words)
        tell(changed, f"{key} goes to {words}", f"{key} went to {words} already.")
        return pages.back(flask.url_for("tables.show", name=name))

    @area.post("/<name>/unset")
    @requires("operator")
    def unset(name: str) -> Any:
        key = pages.field("key")
        _find(services, known, name)
        changed = change(services, known, "table", name, key, None)
        tell(changed, f"{key} goes where the configuration says", f"Nobody had set {key}.")
        return pages.back(flask.url_for("tables.show", name=name))

    return area


def _page(services: Services, known: Switchable, name: str) -> str:
    table, set_ = _find(services, known, name)
    asked, after = pages.arg("key"), pages.arg("after")
    found = [row for row in rows_of(table, set_) if asked.lower() in row.key.lower()]
    rows = [row for row in found if row.key > after]
    return flask.render_template(
        "tables/show.html", table=table, rows=rows[:PAGE], count=len(found), asked=asked, known=name in known.tables,
        more=pages.here(after=rows[PAGE - 1].key) if len(rows) > PAGE else "",
        first=pages.here(after=None) if after else "",
    )  # fmt: skip


def rows_of(table: Table, set_: Sequence[Switch]) -> list[Row]:
    """All rows of a table, by key."""
    found = {one.key: one for one in set_}
    rows = []
    for key in sorted({*table.rows, *found}):
        switch, first = found.get(key), table.rows.get(key, "")
        rows.append(Row(key, switch.value if switch else first, first, switch))
    return rows


def _find(services: Services, known: Switchable, name: str) -> tuple[Table, list[Switch]]:
    """A table and what is set of it, or 404. One that the configuration no longer has can still be looked at."""
    set_ = _set(services, name)
    if name not in known.tables and not set_:
        raise NotFound(f"There is no table {name}.")
    return _table(known, name), set_


def _table(known: Switchable, name: str) -> Table:
    return known.tables.get(name) or Table(name, (), (), {})


def _set(services: Services, name: str = "") -> list[Switch]:
    with services.store.reading() as t:
        return list(t.switches.all("table", name))
