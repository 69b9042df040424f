"""`esb map`: what a mapping makes of documents, and rule by rule why."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from esb.cli.common import FAILED, complain, directory, json_output, load, print_json, show_findings, told, unknown
from esb.cli.watching import Watch, heed_interrupts, of_its_cases, summary
from esb.errors import ConfigError, EsbError

if TYPE_CHECKING:
    from esb.config import Definition
    from esb.flow.tracing import Traced
    from esb.mapping_trace import Applied
    from esb.ports import Format, Record

LONGEST = 100  # characters of a value in a line
_INDENTED = {"json": {"indent": 2}}


class Options(msgspec.Struct, frozen=True):
    """What is asked for."""

    root: str
    env: str | None
    name: str
    input: str
    read_as: str
    write_as: str
    trace: bool
    as_json: bool


@click.command("map")
@directory
@click.argument("name")
@click.argument("input", default="-")
@click.option(
    "--in",
    "read_as",
    default="",
    metavar="ENDPOINT|FORMAT",
    help="How INPUT is read; default: by its suffix, as the endpoint does that receives it.",
)
@click.option(
    "--out", "write_as", default="", metavar="ENDPOINT|FORMAT", help="How the result is written; default: JSON."
)
@click.option("--trace", is_flag=True, help="Tell of each rule what it read, what it made, or why it made nothing.")
@click.option("--watch", is_flag=True, help="Again, whenever a file changes.")
@json_output
@told
def command(
    root: str,
    env: str | None,
    name: str,
    input: str,
    read_as: str,
    write_as: str,
    trace: bool,
    watch: bool,
    as_json: bool,
) -> None:
    """Print what the mapping NAME makes of INPUT: a file, or - for standard input. Nothing is sent.

    INPUT is read, and the result written, in a format (json, csv, xml …), or as an endpoint does it, with its settings
    and records. What no rule reads and what the result lacks is told on standard error. Exit code 1 when a document
    fails.
    """
    options = Options(root, env, name, input, read_as, write_as, trace, as_json)
    if watch:
        _watch(options)
    elif not _run(options):
        sys.exit(FAILED)


def _watch(options: Options) -> None:
    """Again and again, until Ctrl-C."""
    if options.input == "-":
        raise click.UsageError("what comes from standard input cannot be read again: name a file")
    heed_interrupts()
    files = Watch(Path(), lambda: (*of_its_cases(Path(options.root)), Path(options.input)))
    while True:
        try:
            _run(options)
        except ConfigError as error:
            show_findings(error)
        except EsbError as error:
            complain(str(error))
        click.secho(f"\n{summary(files.wait())} changed", fg="blue", err=True)


def _run(options: Options) -> bool:
    """All documents of the input; whether none failed."""
    from esb.flow.tracing import Tracer
    from esb.message import create

    definition, _ = load(options.root, options.env)
    if options.name not in definition.mappings:
        unknown("mapping", options.name, definition.mappings)
    tracer, source = Tracer(options.name, definition), definition.mappings[options.name].source or options.name
    output = _format(definition, options.write_as or "json", _INDENTED)
    well, told = True, []
    for record in _records(definition, options):
        message = create(b"", type=source.partition("/v")[0], source="esb-map")
        traced = _failed(record) if record.error else tracer.trace(record.document, message)
        well = well and not traced.error
        told.append(traced)
        if not options.as_json:
            _show(traced, options, output)
    if options.as_json:
        print_json([_plain(traced) for traced in told])
    return well


# --- reading and writing ----------------------------------------------------------------------------------------------


def _records(definition: Definition, options: Options) -> Iterator[Record]:
    """The documents in the input."""
    from esb.worker.intake import Intake

    stream = BytesIO(sys.stdin.buffer.read()) if options.input == "-" else BytesIO(_bytes(options.input))
    name = options.read_as or _usual(definition, options)
    endpoint = definition.endpoints.get(name)
    format = _format(definition, name)
    return Intake(endpoint, format, None).records(stream) if endpoint else format.read(stream)


def _bytes(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise EsbError(f"{file} cannot be read: {error.strerror}") from error


def _usual(definition: Definition, options: Options) -> str:
    """As the endpoint reads it that receives what is mapped, if one does in that format, else by the suffix alone.

    JSON says itself what is a number; other formats need the settings.
    """
    format, source = _suffix(options.input), definition.mappings[options.name].source
    receivers = [
        endpoint.name
        for endpoint in definition.endpoints.values()
        if endpoint.format == format != "json" and endpoint.receive and endpoint.receive.common.contract == source
    ]
    return receivers[0] if len(receivers) == 1 else format


def _suffix(file: str) -> str:
    from esb.formats import FORMATS

    word = Path(file).suffix[1:].lower()
    return word if word in FORMATS else "json"


def _format(definition: Definition, name: str, more: Any = None) -> Format:
    """An endpoint's format, or a kind of format with its default settings."""
    from pydantic import ValidationError

    from esb.formats import FORMATS

    endpoint = definition.endpoints.get(name)
    if endpoint is not None:
        return FORMATS[endpoint.format](endpoint.format_settings)
    if name not in FORMATS:
        unknown("endpoint or format", name, (*definition.endpoints, *FORMATS))
    try:
        return FORMATS[name](FORMATS[name].Settings(**(more or {}).get(name, {})))
    except ValidationError as error:
        raise EsbError(f"the format {name} needs settings: name an endpoint that has it") from error


def _failed(record: Record) -> Traced:
    from esb.flow.tracing import Traced

    return Traced((), msgspec.UNSET, f"record {record.number} cannot be read: {record.error}", (), ())


# --- output -----------------------------------------------------------------------------------------------------------


def _show(traced: Traced, options: Options, output: Format) -> None:
    if options.trace:
        for line in _lines(traced.rules):
            click.echo(line)
    if traced.result is not msgspec.UNSET:
        click.echo(output.encode(traced.result).decode("utf-8", "replace").rstrip("\n"))
    if traced.unread:
        click.secho(f"not read: {', '.join(traced.unread)}", fg="yellow", err=True)
    for unset in traced.unset:
        click.secho(f"not set: {unset.path}{f': {unset.why}' if unset.why else ''}", fg="yellow", err=True)
    if traced.error:
        complain(traced.error)


def _lines(rules: Iterable[Applied]) -> Iterator[str]:
    """Two lines a rule: what it made, with its place; and by what."""
    rules = list(rules)
    width = max((len(applied.path) for applied in rules), default=0)
    for applied in rules:
        place = click.style(applied.rule.where, dim=True)
        yield f"{applied.path.ljust(width)}  {_made(applied)}  {place}"
        if applied.rule.kind != "constant":
            yield click.style(f"    {_short(applied.rule.text)}{_reads(applied)}", dim=True)


def _made(applied: Applied) -> str:
    if applied.failed:
        return click.style(applied.why, fg="red")
    if applied.elements:
        return f"{applied.elements} elements" if applied.elements > 1 else "1 element"
    if applied.value is msgspec.UNSET:
        return click.style(applied.why, fg="yellow")
    return _value(applied.value) + (click.style(f" ({applied.why})", fg="yellow") if applied.why else "")


def _reads(applied: Applied) -> str:
    read = [f"{path} is {_short(value)}" for path, value in applied.reads]
    return f"  ({', '.join(read)})" if read else ""


def _value(value: Any) -> str:
    from esb.quoting import quote

    return quote(value, LONGEST)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _plain(traced: Traced) -> dict[str, Any]:
    rules = [
        {
            "path": applied.path,
            "where": applied.rule.where,
            "text": applied.rule.text,
            "reads": dict(applied.reads),
            "made": None if applied.value is msgspec.UNSET else applied.value,
            "elements": applied.elements,
            "why": applied.why,
            "failed": applied.failed,
        }
        for applied in traced.rules
    ]
    result = None if traced.result is msgspec.UNSET else traced.result
    return {
        "result": result, "error": traced.error, "rules": rules, "unread": traced.unread, "unset": traced.unset,
    }  # fmt: skip
