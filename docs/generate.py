"""Writes ``docs/reference/`` from the code: ``python docs/generate.py``. A test compares what lies there with this.

The pages of ``docs/patterns`` are written by hand, and get the files they show from ``examples/patterns``; those of
``docs/guide`` get what some commands say.

Settings come from the pydantic models that parse them, commands from click's own help, findings from mistakes that
are really made. Nothing is said here that the code does not say.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import consoles
import mistakes
import shown
from click.testing import CliRunner
from keys import table
from pydantic import BaseModel

from esb import errors, worker
from esb.cases.models import FlowCases, MappingCases, SagaCases
from esb.cli import COMMANDS, main
from esb.config import models
from esb.config.shorthand import Shorthand
from esb.discovery import discover
from esb.ports import Adapter, Features, Format

HERE = Path(__file__).parent
WIDTH = 100  # columns of a command's help
_FEATURES = {
    "polls": "looks for messages outside and takes them (`receive:`)",
    "serves": "is called by others through the ingress (`receive:`)",
    "sends": "delivers messages (`operations:`)",
    "keyed": "what it sends carries a key, so that the other side can tell a repeat",
    "replies": "sending returns the other side's answer",
    "batches": "takes several messages in a call",
    "probes": "can tell whether a send took place",
}


def pages() -> dict[str, str]:
    """File name -> text of every page of the reference."""
    return {name: make() for name, make in PAGES.items()}


def write() -> None:
    """Replace the pages on disk."""
    for name, text in pages().items():
        (HERE / "reference" / name).write_text(text, encoding="utf-8")


def _page(title: str, *parts: str) -> str:
    return "\n\n".join(["<!-- Made by docs/generate.py; edit the code instead. -->", f"# {title}", *parts]) + "\n"


def _index() -> str:
    rows = {
        "cli.md": "every command with its options",
        "configuration.md": "`esb.yaml`, endpoints, flows, sagas, mappings, test cases: every key",
        "adapters.md": "what each adapter kind can do, and its settings",
        "formats.md": "what each format reads and writes, and its settings",
        "steps.md": "the steps of flows",
        "findings.md": "what `esb check` finds, each kind with an example",
        "errors.md": "the kinds of failure, and what recovery makes of each",
    }
    lines = [f"- [{name.removesuffix('.md')}]({name}): {about}" for name, about in rows.items()]
    return _page("Reference", "Made from the code. The [guide](../guide/README.md) explains.", "\n".join(lines))


# --- commands -----------------------------------------------------------------------------------------------------


def _cli() -> str:
    about = "Data goes to stdout, talk to stderr. Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 not found."
    return _page("Command line", about, *(_command(path) for path in commands()))


def commands() -> Iterator[tuple[str, ...]]:
    """Every command as its words: ``("failed", "retry")``; first the program itself, ``()``."""
    yield ()
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        yield (name,)
        if isinstance(command, click.Group):
            yield from ((name, inner) for inner in command.commands)


def _command(path: Sequence[str]) -> str:
    result = CliRunner().invoke(main, [*path, "--help"], prog_name="esb", terminal_width=WIDTH)
    return f"## {' '.join(['esb', *path])}\n\n```text\n{result.output.rstrip()}\n```"


# --- configuration ------------------------------------------------------------------------------------------------


def _configuration() -> str:
    types = (
        "Durations are written `500ms`, `5s`, `10m`, `24h`, `7d`, or as a number of seconds; sizes `512 KB`, `8 MB`, "
        "or as a number of bytes. `${NAME}` and `${NAME:-default}` are environment variables, in `esb.yaml` and in "
        "endpoints. A *secret* is a reference: `secret:env:NAME` or `secret:file:PATH`."
    )
    overlay = (
        "Laid on `esb.yaml` by `--env NAME`. It takes the same keys, and `endpoints:` with what differs in each, by "
        "its name; mappings are merged key by key, everything else is replaced."
    )
    return _page(
        "Configuration",
        types,
        _model("esb.yaml", models.BusConfig),
        f"## esb.NAME.yaml\n\n{overlay}",
        _model("endpoints/*.yaml", models.Endpoint, "`settings` are the [adapter's](adapters.md).", ["recovery"]),
        _model("receive", models.Receive, "They are [on the adapter's page](adapters.md)."),
        _model("operations", models.Operation, "They are [on the adapter's page](adapters.md)."),
        _model("flows/*.yaml", models.Flow, "The steps are [a page of their own](steps.md)."),
        _model("sagas/*.yaml", models.Saga, "The guide [explains them](../guide/sagas.md)."),
        _model("mappings/*.yaml", models.Mapping, "See the guide for [what a leaf can be](../guide/mappings.md)."),
        _model("Mappings in place", models.InlineMapping),
        _model("mappings/*.test.yaml", MappingCases),
        _model("flows/*.test.yaml", FlowCases),
        _model("sagas/*.test.yaml", SagaCases),
    )


def _model(title: str, model: type[BaseModel], more: str = "", closed: Sequence[str] = ()) -> str:
    about = " ".join(part for part in (_text(model), more) if part)
    return f"## {title}\n\n{about}\n\n{table(model, closed)}"


def _own(title: str, model: type[BaseModel]) -> str:
    """Keys that an adapter or format adds; many add none."""
    found = table(model)
    return f"### {title}\n\n" + (f"{_text(model)}\n\n{found}" if found else "No keys of its own.")


# --- open sets ----------------------------------------------------------------------------------------------------


def _adapters() -> str:
    kinds = discover().adapters
    about = "The adapters that come with the bus. Others are installed as packages and named in the same way."
    return _page("Adapters", about, *(_adapter(kinds[name]) for name in sorted(kinds)))


def _adapter(kind: type[Adapter]) -> str:
    able = [f"- `{word}`: {_FEATURES[word]}" for word in Features.__struct_fields__ if getattr(kind.features, word)]
    parts = [f"## {kind.kind}", _text(kind), "\n".join(able), _own("settings", kind.Settings)]
    if kind.features.polls or kind.features.serves:
        parts.append(_own("receive", kind.Receive))
    if kind.features.sends:
        parts.append(_own("operations", kind.Operation))
    return "\n\n".join(parts)


def _formats() -> str:
    kinds = discover().formats
    return _page("Formats", *(_format(kinds[name]) for name in sorted(kinds)))


def _format(kind: type[Format]) -> str:
    about = f"{_text(kind)} Content type `{kind.content_type}`."
    return f"## {kind.kind}\n\n{about}\n\n{_own('settings', kind.Settings)}"


def _steps() -> str:
    about = (
        "Each step is a mapping with its kind as key. `name:` beside it names the step; the default is `kind:target`."
    )
    return _page("Steps", about, *(_step(name, kind) for name, kind in discover().steps.items()))


def _step(name: str, kind: Any) -> str:
    short = issubclass(kind.Settings, Shorthand)
    words = [_text(kind), f"Written as {_lower(_text(kind.Settings))}" if short else _text(kind.Settings)]
    found = table(kind.Settings)
    return "\n\n".join([f"## {name}", *words, *([found] if found else [])])


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


# --- findings and errors ------------------------------------------------------------------------------------------


def _findings() -> str:
    about = (
        "Every finding has a file, a line, a column and one of these kinds. Below each kind is a mistake "
        "that gives it, made in the directory of `esb init`, and what `esb check` says then. An **error** keeps the "
        "bus from running, a **warning** does not (`--strict` makes it fail `esb check`)."
    )
    return _page("Findings", about, *(_finding(mistake) for mistake in mistakes.ALL))


def _finding(mistake: mistakes.Mistake) -> str:
    shown = mistake.output().rstrip()
    return f"## {mistake.kind}\n\n{mistake.about}\n\n```text\n{shown}\n```"


def _errors() -> str:
    tree = inspect.getdoc(errors) or ""
    drawn = tree.partition("::")[2].partition("\n\nA driver")[0]
    lines = "\n".join(line.removeprefix("    ") for line in drawn.strip("\n").splitlines())
    about = (
        "What is shown as *kind* of a failure, in `esb failed list` and in the journey. A **message** error parks the "
        "message at once: trying again gives the same. An **endpoint** error is retried, and counted by the breaker."
    )
    rows = [f"| `{kind.kind}` | {_side(kind)} | {_text(kind)} |" for kind in error_kinds()]
    head = "| kind | at fault | what it means |\n| --- | --- | --- |"
    return _page("Errors", about, f"```text\n{lines}\n```", "\n".join([head, *rows]))


def error_kinds() -> list[type[errors.EsbError]]:
    """Every error of the bus, in the order of the module; then what workers add, one of each kind of failure."""
    for module in pkgutil.walk_packages(worker.__path__, "esb.worker."):
        importlib.import_module(module.name)
    own = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.EsbError)]
    added: dict[str, type[errors.EsbError]] = {}
    for kind in _below(errors.EsbError):
        if kind not in own and kind.__module__.startswith("esb.") and "kind" in vars(kind) and _side(kind):
            added.setdefault(kind.kind, kind)
    return [*own, *(added[kind] for kind in sorted(added))]


def _below(kind: type[errors.EsbError]) -> Iterator[type[errors.EsbError]]:
    for below in kind.__subclasses__():
        yield below
        yield from _below(below)


def _side(kind: type[errors.EsbError]) -> str:
    sides: Mapping[type, str] = {
        errors.MessageError: "message",
        errors.EndpointError: "endpoint",
        errors.BrokerError: "broker",
        errors.StoreError: "store",
    }
    return next((word for base, word in sides.items() if issubclass(kind, base)), "")


def _text(thing: type) -> str:
    """A docstring as Markdown: its roles and double backticks become single ones."""
    text = inspect.cleandoc(thing.__doc__ or "")
    text = re.sub(r":\w+:`[~.]?(?:[\w.]+\.)?(\w+)`", r"`\1`", text)
    return re.sub(r"``(.+?)``", r"`\1`", text, flags=re.DOTALL)


PAGES: Mapping[str, Callable[[], str]] = {
    "README.md": _index,
    "cli.md": _cli,
    "configuration.md": _configuration,
    "adapters.md": _adapters,
    "formats.md": _formats,
    "steps.md": _steps,
    "findings.md": _findings,
    "errors.md": _errors,
}

if __name__ == "__main__":
    write()
    shown.write()
    consoles.write()
