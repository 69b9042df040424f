"""`esb endpoints`: what is registered, how it is doing, and whether it answers."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from esb.cli.common import FAILED, directory, json_output, load, print_json, print_table, told, unknown

if TYPE_CHECKING:
    from esb.config import Components, Definition


@click.command("endpoints")
@directory
@click.argument("name", required=False)
@click.option("--test", is_flag=True, help="Ask each system for a sign of life (no effect there).")
@click.option("--kinds", is_flag=True, help="List the adapter kinds that are installed.")
@json_output
@told
def command(root: str, env: str | None, name: str | None, test: bool, kinds: bool, as_json: bool) -> None:
    """List endpoints with breaker, waiting and parked messages; or one by NAME."""
    if kinds:
        return _kinds(as_json)
    definition, components = load(root, env)
    if name and name not in definition.endpoints:
        unknown("endpoint", name, definition.endpoints)
    rows = _rows(definition, components, name)
    if test:
        _test(rows, definition, components)
    if as_json:
        print_json(rows)
    else:
        _show(rows, test)
    if any(row.get("check", {}).get("ok") is False for row in rows):
        sys.exit(FAILED)
    return None


def _rows(definition: Definition, components: Components, name: str | None) -> list[dict[str, Any]]:
    from esb.broker.port import endpoint_queue
    from esb.cli.figures import figures

    chosen = [e for e in definition.endpoints.values() if name in (None, e.name)]
    found = figures(definition, [endpoint_queue(e.name) for e in chosen])
    parked: Counter[str] = Counter()
    for _, place, count in found.ledger.parked_by if found.ledger else ():
        parked[place] += count
    rows = []
    for e in chosen:
        breaker = found.breakers.get(e.name)
        rows.append({
            "endpoint": e.name, "title": e.title, "adapter": e.adapter, "owner": e.owner,
            "receives": e.receive is not None, "operations": sorted(e.operations),
            "breaker": breaker.state if breaker else "closed", "waiting": found.waiting(endpoint_queue(e.name)),
            "parked": parked[f"out:{e.name}"] + parked[f"in:{e.name}"],
        })  # fmt: skip
    return rows


def _test(rows: list[dict[str, Any]], definition: Definition, components: Components) -> None:
    from esb.bus import make_adapter
    from esb.errors import EndpointError

    for row in rows:
        adapter = make_adapter(row["endpoint"], definition, components)
        try:
            adapter.open()
            row["check"] = {"ok": True, "text": adapter.check()}
        except EndpointError as error:
            row["check"] = {"ok": False, "text": str(error)}
        finally:
            adapter.close()


def _show(rows: list[dict[str, Any]], tested: bool) -> None:
    head = [
        "endpoint",
        "adapter",
        "direction",
        "operations",
        "breaker",
        "waiting",
        "parked",
        *(["check"] if tested else []),
    ]
    table = []
    for row in rows:
        ways = [word for word, there in (("in", row["receives"]), ("out", bool(row["operations"]))) if there]
        line = [row["endpoint"], row["adapter"], " ".join(ways), " ".join(row["operations"]), row["breaker"]]
        line += [row["waiting"], row["parked"]]
        if tested:
            line.append(("ok: " if row["check"]["ok"] else "FAILED: ") + row["check"]["text"])
        table.append(line)
    print_table(head, table, right=("waiting", "parked"))


def _kinds(as_json: bool) -> None:
    from esb.bus import discover

    kinds = sorted(discover().adapters.items())
    if as_json:
        print_json([{"kind": name, "summary": kind.summary, "features": kind.features} for name, kind in kinds])
        return
    rows = []
    for name, kind in kinds:
        able = [word for word in kind.features.__struct_fields__ if getattr(kind.features, word)]
        rows.append((name, " ".join(able), kind.summary))
    print_table(("kind", "features", "summary"), rows)
