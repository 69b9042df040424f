"""`esb tables`: routing tables, which say where messages go and can be changed while the bus runs."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import click

from esb.cli.common import counted, directory, json_output, moment, print_json, print_table, told, unknown
from esb.cli.listing import Listing
from esb.cli.switching import WHY, known_switches, set_switch, tell, unset_switch
from esb.errors import EsbError

if TYPE_CHECKING:
    from esb.flow.switchable import Table
    from esb.store import Switch

_HEAD = ("key", "goes to", "configured", "set", "who", "reason")


@click.group("tables", cls=Listing)
def command() -> None:
    """List routing tables; show one, and set what stands in it."""


@command.command("list")
@directory
@json_output
@told
def list_(root: str, env: str | None, as_json: bool) -> None:
    """List tables with the flows that go by them, the words they know, and how many rows they have."""
    known, set_ = known_switches(root, env)
    rows: list[dict[str, Any]] = [
        {"table": table.name, "flows": table.flows, "words": table.words, "rows": len(_rows(table, set_))}
        for table in known.tables.values()
    ]
    if as_json:
        print_json(rows)
        return
    lines = [[row["table"], " ".join(row["flows"]), " ".join(row["words"]), row["rows"]] for row in rows]
    print_table(("table", "flows", "words", "rows"), lines, right=("rows",))


@command.command("show")
@directory
@click.argument("name")
@json_output
@told
def show(root: str, env: str | None, name: str, as_json: bool) -> None:
    """Show the rows of a table: what holds, what the configuration says, and who has set it otherwise."""
    known, set_ = known_switches(root, env)
    if name not in known.tables:
        unknown("table", name, known.tables)
    rows = _rows(known.tables[name], set_)
    if as_json:
        print_json(rows)
        return
    print_table(_HEAD, [[moment(row[key]) if key == "set" else row[key] for key in _HEAD] for row in rows])


@command.command("set")
@directory
@click.argument("name")
@click.argument("key")
@click.argument("words")
@WHY
@told
def set_(root: str, env: str | None, name: str, key: str, words: str, why: str) -> None:
    """Let messages with KEY go to WORDS: one that the table knows, or several with commas. Audited."""
    changed = set_switch(root, env, "table", name, {key: words}, why)
    tell(f"{name}, {key}", changed, words, f"it was {words} already")


@command.command("unset")
@directory
@click.argument("name")
@click.argument("key")
@WHY
@told
def unset(root: str, env: str | None, name: str, key: str, why: str) -> None:
    """Let the configuration say again where messages with KEY go. Audited."""
    changed = unset_switch(root, env, "table", name, [key], why)
    tell(f"{name}, {key}", changed, "as the configuration says", "nobody had set it")


@command.command("load")
@directory
@click.argument("name")
@click.argument("file", type=click.File(encoding="utf-8", lazy=False))
@WHY
@told
def load_(root: str, env: str | None, name: str, file: Any, why: str) -> None:
    """Set rows from a CSV FILE with two columns, key and words; the first line names them. All of them or none."""
    rows: dict[str, str] = {}
    for number, row in enumerate(csv.reader(file), 1):
        if number > 1 and row:
            if len(row) != 2 or row[0] in rows:
                raise EsbError(f"{file.name}:{number}: a row is a key and its words, and each key comes once")
            rows[row[0]] = row[1]
    changed = set_switch(root, env, "table", name, rows, why)
    tell(name, changed, f"{counted(changed, 'row')} set", "all of it stood there already")


def _rows(table: Table, switches: list[Switch]) -> list[dict[str, Any]]:
    found = {switch.key: switch for switch in switches if (switch.kind, switch.name) == ("table", table.name)}
    rows = []
    for key in sorted({*table.rows, *found}):
        switch, first = found.get(key), table.rows.get(key, "")
        rows.append({
            "key": key, "goes to": switch.value if switch else first, "configured": first,
            "set": switch.at if switch else None, "who": switch.who if switch else "",
            "reason": switch.reason if switch else "",
        })  # fmt: skip
    return rows
