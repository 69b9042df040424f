"""`esb schema`: the JSON Schemas behind the configuration files, for editors and for `esb check` alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from esb.cli.common import print_json, told, unknown


@click.command("schema")
@click.argument("kind", required=False)
@click.option("-o", "--output", type=click.Path(file_okay=False), help="Write one file per kind into this directory.")
@told
def command(kind: str | None, output: str | None) -> None:
    """Print the schema of one KIND of file (bus, endpoint, flow, mapping …), or list the kinds."""
    found = all_schemas()
    if output:
        write_schemas(Path(output))
        click.echo(f"{len(found)} schemas in {output}", err=True)
    elif kind is None:
        click.echo("\n".join(sorted(found)))
    elif kind in found:
        print_json(found[kind])
    else:
        unknown("kind of file", kind, found)


def write_schemas(directory: Path) -> None:
    """One ``<kind>.json`` per kind of file."""
    directory.mkdir(parents=True, exist_ok=True)
    for kind, schema in all_schemas().items():
        (directory / f"{kind}.json").write_bytes(msgspec.json.format(msgspec.json.encode(schema), indent=2))


def all_schemas() -> dict[str, Any]:
    """Kind of file -> JSON Schema; files with test cases among them."""
    from esb.cases.models import FlowCases, MappingCases, SagaCases
    from esb.config.schemas import schemas
    from esb.discovery import discover

    return schemas(discover(), {"mapping-test": MappingCases, "flow-test": FlowCases, "saga-test": SagaCases})
