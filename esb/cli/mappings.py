"""`esb mappings`: how documents become others, who uses it, and what one makes of a document."""

from __future__ import annotations

from typing import IO

import click
import msgspec

from esb.cli.common import directory, json_output, load, print_json, print_table, told, unknown
from esb.cli.contracts import report
from esb.cli.listing import Listing


@click.group("mappings", cls=Listing)
def command() -> None:
    """List mappings, or try one on a document."""


@command.command("list")
@directory
@json_output
@told
def list_(root: str, env: str | None, as_json: bool) -> None:
    """List mappings with what they read, what they make, and who uses them."""
    from esb.flow.usage import mapping_uses

    definition, _ = load(root, env)
    uses = mapping_uses(definition)
    found = definition.mappings.values()
    if as_json:
        print_json([{"mapping": m.name, "from": m.source, "to": m.target, "uses": uses[m.name]} for m in found])
        return
    table = [(m.name, m.source, m.target, ", ".join(map(str, uses[m.name]))) for m in found]
    print_table(("mapping", "from", "to", "used by"), table, shrink=(("used by", 20),))


@command.command("try")
@directory
@click.argument("mapping")
@click.argument("document", type=click.File("rb"))
@told
def attempt(root: str, env: str | None, mapping: str, document: IO[bytes]) -> None:
    """Print what a MAPPING makes of a DOCUMENT (a file with JSON, or - for standard input). Nothing is sent."""
    from esb.worker.trial import Laboratory

    definition, _ = load(root, env)
    if mapping not in definition.mappings:
        unknown("mapping", mapping, definition.mappings)
    trial = Laboratory().mapping(definition, mapping, document.read())
    if trial.result is not msgspec.UNSET:
        print_json(trial.result)
    report(trial, False)
