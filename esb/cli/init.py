"""`esb init`: a bus directory that runs at once, with comments that teach."""

from __future__ import annotations

from pathlib import Path

import click

from esb.cli.common import told


@click.command("init")
@click.argument("path", default=".", type=click.Path(file_okay=False))
@told
def command(path: str) -> None:
    """Make a new bus in PATH (default: here): an inbox of CSV orders, a mapping, an outbox, an event, tests."""
    from esb.cli.scaffold import write
    from esb.cli.schema import write_schemas

    place = Path(path)
    for name in write(place):
        click.echo(f"  {name}", err=True)
    write_schemas(place / ".schemas")
    here = "" if path == "." else f"cd {place} && "
    click.secho(f"\nA bus is in {place.resolve()}. Next:  {here}esb check && esb test && esb run", fg="green", err=True)
