"""What all commands share: finding the bus directory, telling errors, printing tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn

import click
import msgspec

if TYPE_CHECKING:
    from esb.config import Components, Definition
    from esb.store import Store

OK, FAILED, USAGE, NOT_FOUND = 0, 1, 2, 3


def directory(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which bus: ``-C DIR`` and ``--env NAME``."""
    command = click.option("--env", envvar="ESB_ENV", help="Overlay esb.NAME.yaml (also ESB_ENV).", metavar="NAME")(
        command
    )
    return click.option(
        "-C", "--dir", "root", default=".", envvar="ESB_DIR", metavar="DIR",
        type=click.Path(file_okay=False), help="The bus directory (also ESB_DIR); default: here.",
    )(command)  # fmt: skip


json_output = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def told(command: Callable[..., Any]) -> Callable[..., Any]:
    """Errors of the bus become one clear line and exit code 1; never a stack trace."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        from esb.errors import ConfigError, EsbError

        try:
            return command(*args, **kwargs)
        except ConfigError as error:
            show_findings(error)
            sys.exit(FAILED)
        except EsbError as error:
            click.secho(f"error: {error}", fg="red", err=True)
            sys.exit(FAILED)
        except BrokenPipeError:
            sys.stderr.close()  # whoever read our output has seen enough
            sys.exit(OK)

    return run


def show_findings(error: Exception) -> None:
    """Findings of a configuration with their source lines, on stderr."""
    click.echo(str(error).rstrip(), err=True)
    click.secho("error: the configuration has findings", fg="red", err=True)


def load(root: str, env: str | None = None) -> tuple[Definition, Components]:
    """The bus directory, loaded; ``ConfigError`` with all findings otherwise."""
    from esb.bus import discover
    from esb.config import load as load_directory

    components = discover()
    return load_directory(root, components, env), components


@contextmanager
def opened_store(root: str, env: str | None = None) -> Iterator[Store]:
    """The store of a bus directory, with current tables. Needs no flow to be free of findings."""
    from esb.config import load_bus_config
    from esb.errors import StoreError
    from esb.store import open_store

    place, config = load_bus_config(root, env)
    if config.database == "embedded" and not (place / config.data / "store.db").exists():
        raise StoreError(f"there is no store in {place / config.data} yet: start the bus with `esb run`")
    store = open_store(config.database, place / config.data)
    try:
        store.require_current()
        yield store
    finally:
        store.close()


def print_json(value: Any) -> None:
    """Any value as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2))


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[str] = ()) -> None:
    """Aligned columns; those named in ``right`` are numbers."""
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max([len(name), *(len(row[n]) for row in texts)]) for n, name in enumerate(head)]
    for n, line in enumerate([list(head), *texts]):
        cells = [
            text.rjust(width) if name in right else text.ljust(width)
            for text, width, name in zip(line, widths, head, strict=True)
        ]
        click.secho("  ".join(cells).rstrip(), bold=n == 0)


def moment(seconds: float | None) -> str:
    """A time for people: local clock, to the second."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S") if seconds else ""


def short(text: str | None, width: int = 60) -> str:
    """The first line of a text, cut to ``width``."""
    line = (text or "").partition("\n")[0]
    return line if len(line) <= width else line[: width - 1] + "…"


def not_found(text: str) -> NoReturn:
    """Say so and leave with exit code 3."""
    click.secho(f"error: {text}", fg="red", err=True)
    sys.exit(NOT_FOUND)
