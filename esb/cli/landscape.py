"""`esb landscape`: the whole bus, or one flow, as a picture or in words."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from esb.cli.common import directory, json_output, load, print_json, told, unknown

if TYPE_CHECKING:
    from esb.admin.live import Numbers
    from esb.admin.picture import Picture
    from esb.config import Definition


@click.command("landscape")
@directory
@click.argument("flow", required=False)
@click.option("--svg", type=click.Path(dir_okay=False, writable=True), help="Draw it into this file ('-': print it).")
@json_output
@told
def command(root: str, env: str | None, flow: str | None, svg: str | None, as_json: bool) -> None:
    """Show what leads where, with the figures of the last 15 minutes; or one FLOW step by step."""
    definition, _ = load(root, env)
    if flow and flow not in definition.flows:
        unknown("flow", flow, definition.flows)
    numbers = _numbers(definition, flow)
    if svg:
        _draw(definition, flow, numbers, svg)
    elif as_json:
        print_json(_plain(_picture(definition, flow), numbers))
    elif flow:
        _flow(definition, flow, numbers)
    else:
        _bus(definition, numbers)


def _picture(definition: Definition, flow: str | None) -> Picture:
    from esb.admin.landscape import map_of
    from esb.admin.picture import picture_of

    return picture_of(definition.flows[flow]) if flow else map_of(definition)


def _numbers(definition: Definition, flow: str | None) -> dict[str, Numbers]:
    """As much as can be had; looking must not make an embedded broker or store."""
    from esb.admin.live import flow_numbers, look, map_numbers
    from esb.broker import open_broker
    from esb.cli.figures import said, there
    from esb.store import open_store

    config, data = definition.config, definition.data_directory
    if not (there(config.database, data / "store.db") and there(config.broker, data / "broker.db")):
        return {}
    with (
        said("no figures"),
        closing(open_broker(config.broker, data)) as broker,
        closing(open_store(config.database, data)) as store,
    ):
        found = look(store, broker, definition, time.time())
        return flow_numbers(found, store, definition, flow) if flow else map_numbers(found, definition)
    return {}


def _draw(definition: Definition, flow: str | None, numbers: dict[str, Numbers], file: str) -> None:
    from esb.admin.drawing import svg_file

    drawn = svg_file(_picture(definition, flow), numbers)
    if file == "-":
        click.echo(drawn, nl=False)
    else:
        Path(file).write_text(drawn, encoding="utf-8")


def _plain(picture: Picture, numbers: dict[str, Numbers]) -> dict[str, Any]:
    boxes = [
        {"id": b.id, "kind": b.kind, "word": b.word, "text": b.text, "numbers": numbers.get(b.key)}
        for b in picture.boxes
    ]
    arrows = [{"from": arrow.source, "to": arrow.target, "kind": arrow.kind} for arrow in picture.arrows]
    return {"title": picture.title, "boxes": boxes, "arrows": arrows}


def _bus(definition: Definition, numbers: dict[str, Numbers]) -> None:
    """Each flow in a line: where from, its name, where to."""
    from esb.flow.outline import whole

    for name, flow in definition.flows.items():
        links = [link for node in whole(flow) for link in node.links if link.kind != "end"]
        targets = dict.fromkeys(f"{link.name}.{link.operation}".rstrip(".") for link in links)
        words = numbers[f"flow:{name}"].words if f"flow:{name}" in numbers else ""
        click.echo(f"{flow.origin} → {click.style(name, bold=True)} → {', '.join(targets) or 'nothing'}")
        if words:
            click.secho(f"    {words}", dim=True)
    if not definition.flows:
        click.echo("no flows yet", err=True)


def _flow(definition: Definition, name: str, numbers: dict[str, Numbers]) -> None:
    from esb.admin.picture import told_lines

    flow = definition.flows[name]
    words = numbers["source"].words if "source" in numbers else ""
    click.echo(f"{click.style(name, bold=True)} from {flow.origin}" + (f": {words}" if words else ""))
    for depth, line in told_lines(flow):
        click.echo(f"{'  ' * (depth + 1)}{line}")
