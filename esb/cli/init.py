"""`esb init`: a bus directory that runs at once, with comments that teach."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import click

from esb.cli.common import told
from esb.errors import EsbError

RENAMED = {"gitignore": ".gitignore"}  # names that a package cannot carry as they are


@click.command("init")
@click.argument("path", default=".", type=click.Path(file_okay=False))
@told
def command(path: str) -> None:
    """Make a new bus in PATH (default: here): an inbox of CSV orders, a mapping, an outbox, an event, tests."""
    from esb.cli.schema import write_schemas

    place = Path(path)
    if place.exists() and any(place.iterdir()):
        raise EsbError(f"{place} is not empty: choose another directory, such as `esb init mybus`")
    place.mkdir(parents=True, exist_ok=True)
    with as_file(files("esb.cli.scaffold") / "bus") as scaffold:
        written = [_copy(file, scaffold, place) for file in sorted(scaffold.rglob("*")) if file.is_file()]
    write_schemas(place / ".schemas")
    for name in written:
        click.echo(f"  {name}", err=True)
    here = "" if place == Path() else f"cd {place} && "
    click.secho(f"\nA bus is in {place}. Next:  {here}esb check && esb test && esb run", fg="green", err=True)


def _copy(file: Path, scaffold: Path, place: Path) -> str:
    name = file.relative_to(scaffold)
    target = place / name.with_name(RENAMED.get(name.name, name.name))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(file.read_bytes())
    return str(target.relative_to(place))
