"""What all commands share: finding the bus directory, telling errors, printing tables."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, NoReturn

import click
import msgspec

if TYPE_CHECKING:
    from esb.config import Components, Definition
    from esb.config.models import BusConfig
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
    """Whatever goes wrong becomes one clear line and an exit code; never a stack trace.

    ``ESB_TRACEBACK=1`` in the environment shows the trace all the same, for whoever mends the bus itself.
    """

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            result = command(*args, **kwargs)
            sys.stdout.flush()  # a reader that has gone shows here, not at the interpreter's end
            return result
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read our output has seen enough
            sys.exit(OK)
        except Exception as error:
            if os.environ.get("ESB_TRACEBACK"):
                raise
            _explain(error)
            sys.exit(FAILED)
        finally:
            let_go()

    return run


def let_go() -> None:
    """At the end: what cannot be written (a full disk) is not tried again when the interpreter ends.

    It would make the exit code 120, whatever came of the command.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _explain(error: Exception) -> None:
    """An error for people. A name behind an ``OSError`` says where, its text says what."""
    from esb.errors import ConfigError, EsbError

    if isinstance(error, ConfigError):
        show_findings(error)
    elif isinstance(error, EsbError):
        complain(str(error))
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        complain(f"{where}{error.strerror or error}")
    else:
        complain(f"a fault of esb itself: {type(error).__name__}: {error} (ESB_TRACEBACK=1 shows where)")


def complain(text: str) -> None:
    """One line on stderr."""
    click.secho(f"error: {printable(text)}", fg="red", err=True)


def show_findings(error: Exception) -> None:
    """Findings of a configuration with their source lines, on stderr."""
    click.echo(str(error).rstrip(), err=True)
    complain("the configuration has findings")


def bus_directory(root: str | Path) -> Path:
    """The directory, when it is one of a bus; ``EsbError`` saying what to do otherwise."""
    from esb.errors import EsbError

    place = Path(root)
    if not (place / "esb.yaml").exists():
        if (place / "esb.yml").exists():
            raise EsbError(f"{place.resolve()} has an esb.yml, and only esb.yaml is read: rename it")
        why = "has no esb.yaml" if place.is_dir() else "does not exist"
        raise EsbError(f"{place.resolve()} {why}: `esb init` makes a bus directory, -C DIR names another")
    return place


def load(root: str, env: str | None = None) -> tuple[Definition, Components]:
    """The bus directory, loaded; ``ConfigError`` with all findings otherwise."""
    from esb.cli.logs import configure_command
    from esb.config import load as load_directory
    from esb.discovery import discover

    components = discover()
    definition = load_directory(bus_directory(root), components, env)
    configure_command(definition.secrets)
    return definition, components


@contextmanager
def opened_store(root: str, env: str | None = None) -> Iterator[Store]:
    """The store of a bus directory, with current tables. Needs no flow to be free of findings."""
    from esb.config import load_bus_config
    from esb.store import open_store

    place, config = load_bus_config(bus_directory(root), env)
    require_store(place, config, env)
    store = open_store(config.database, place / config.data, config.encryption.texts())
    try:
        store.require_current()
        yield store
    finally:
        store.close()


def require_store(place: Path, config: BusConfig, env: str | None) -> None:
    """``StoreError`` where no bus has run yet on the embedded store that is meant; looking for it would make one."""
    from esb.errors import StoreError

    data = place / config.data
    if config.database == "embedded" and not (data / "store.db").exists():
        raise StoreError(
            f"there is no store in {data} yet: start the bus with `esb run`{other_environments(place, env)}"
        )


def other_environments(place: Path, env: str | None) -> str:
    """What to say to somebody who may have forgotten ``--env``, and so looks where nothing is."""
    names = sorted(file.name.split(".")[1] for file in place.glob("esb.*.yaml"))
    return f"; if it runs with an environment ({', '.join(names)}), give --env or ESB_ENV" if names and not env else ""


def print_json(value: Any) -> None:
    """Any value as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2))


def print_table(
    head: Sequence[str],
    rows: Sequence[Sequence[Any]],
    right: Sequence[str] = (),
    shrink: Sequence[tuple[str, int]] = (),
) -> None:
    """Aligned columns, as wide as they need to be where a program reads them.

    Args:
        head, rows: texts, or what becomes one.
        right: columns of numbers.
        shrink: (column, least width), in the order in which they give way on a terminal that is too narrow. Times
            lose their beginning, everything else its end.
    """
    table = [list(head), *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    _fit(widths, head, shrink)
    for n, line in enumerate(table):
        cells = [
            _cut(text, width, name).rjust(width) if name in right else _cut(text, width, name).ljust(width)
            for text, width, name in zip(line, widths, head, strict=True)
        ]
        click.secho("  ".join(cells).rstrip(), bold=n == 0)


_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # C0, DEL, C1, bidi overrides
_TIMES = ("received", "parked", "first", "last", "next")
_IDS = ("message",)


def _cell(value: Any) -> str:
    return "" if value is None else printable(" ".join(str(value).split("\n")))


def printable(text: str) -> str:
    """A text that may have come with a message, for a terminal: nothing in it moves the cursor, sets the window's
    title or turns the direction of writing. Line ends and tabs stay. Programs get everything, as JSON."""
    return _STEERING.sub("\ufffd", text.replace("\r\n", "\n"))


def _fit(widths: list[int], head: Sequence[str], shrink: Sequence[tuple[str, int]]) -> None:
    """Narrow columns until all fits on the terminal."""
    for name, least in shrink if sys.stdout.isatty() else ():
        n = head.index(name)
        excess = sum(widths) + 2 * (len(widths) - 1) - get_terminal_size().columns
        widths[n] = min(widths[n], max(least, len(name), widths[n] - max(excess, 0)))


def _cut(text: str, width: int, column: str) -> str:
    if len(text) <= width:
        return text
    if column in _TIMES:
        return text[-width:]
    return text[:width] if column in _IDS else text[: width - 1] + "…"  # an id's beginning can be copied


def moment(seconds: float | None) -> str:
    """A time for people: local clock, to the second."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S") if seconds else ""


def short(text: str | None, width: int = 60) -> str:
    """The first line of a text, cut to ``width``."""
    line = (text or "").partition("\n")[0]
    return line if len(line) <= width else line[: width - 1] + "…"


def not_found(text: str) -> NoReturn:
    """Say so and leave with exit code 3."""
    complain(text)
    sys.exit(NOT_FOUND)


def unknown(what: str, word: str, words: Iterable[str]) -> NoReturn:
    """There is no such thing: name the nearest one, and all there are."""
    from esb.config.findings import nearest

    known = sorted(words)
    near = nearest(word, known)
    hint = f" did you mean {near!r}?" if near else ""
    not_found(f"no {what} {word!r};{hint} there are: {', '.join(known) or 'none'}")


def confirm(question: str, yes: bool) -> None:
    """Ask, unless there is nothing to ask; leaves where the answer is no, or nobody is there to give it."""
    if yes:
        return
    if not sys.stdin.isatty():
        complain(f"{question} Nobody can be asked here: add --yes.")
        sys.exit(FAILED)
    click.confirm(question, abort=True, err=True)


def counted(count: int, word: str) -> str:
    """``1 flow``, ``2 flows``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
