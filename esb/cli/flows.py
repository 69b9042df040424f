"""`esb flows`: the flows and their figures; or one flow, drawn as text."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from esb.cli.common import directory, json_output, load, moment, print_json, print_table, told, unknown

if TYPE_CHECKING:
    from esb.config import Definition
    from esb.config.definition import LoadedFlow


_HEAD = ("flow", "from", "waiting", "completed", "filtered", "parked", "next", "title")


@click.command("flows")
@directory
@click.argument("name", required=False)
@json_output
@told
def command(root: str, env: str | None, name: str | None, as_json: bool) -> None:
    """List flows with what waits, is done, filtered and parked; with NAME show its steps."""
    definition, _ = load(root, env)
    if name and name not in definition.flows:
        unknown("flow", name, definition.flows)
    rows = _rows(definition, name)
    if as_json:
        print_json(rows)
        return
    print_table(
        _HEAD,
        [[row[key] if key != "next" else moment(row[key]) for key in _HEAD] for row in rows],
        right=("waiting", "completed", "filtered", "parked"),
        shrink=(("title", 12),),
    )
    if name:
        click.echo()
        _draw(definition.flows[name])


def _rows(definition: Definition, name: str | None) -> list[dict[str, Any]]:
    from esb.broker.port import flow_queue
    from esb.cli.figures import figures
    from esb.store import Status

    chosen = [f for f in definition.flows.values() if name in (None, f.name)]
    found = figures(definition, [flow_queue(f.name) for f in chosen])
    rows = []
    for f in chosen:
        counts = found.ledger.flows.get(f"flow:{f.name}", {}) if found.ledger else {}
        rows.append({
            "flow": f.name, "title": f.title, "from": f.origin, "next": _next(f),
            "waiting": found.waiting(flow_queue(f.name)),
            "completed": counts.get(Status.COMPLETED, 0), "filtered": counts.get(Status.FILTERED, 0),
            "parked": counts.get(Status.PARKED, 0), "steps": [step.name for step in f.steps],
        })  # fmt: skip
    return rows


def _next(flow: LoadedFlow) -> float | None:
    """When a flow that starts by itself does so next, epoch seconds."""
    return flow.schedule.timetable().after(time.time()) if flow.schedule else None


def _draw(flow: LoadedFlow) -> None:
    from esb.admin.picture import told_lines

    for depth, line in told_lines(flow):
        click.echo(f"{'  ' * (depth + 1)}{line}")
