"""`esb mappings`: how documents become others, and who uses it."""

from __future__ import annotations

import click

from esb.cli.common import directory, json_output, load, print_json, print_table, told
from esb.cli.listing import Listing


@click.group("mappings", cls=Listing)
def command() -> None:
    """List mappings. `esb map` tries one on a document."""


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
