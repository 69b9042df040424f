"""`esb doctor`: is everything the bus needs there, and in a state to rely on?"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from esb.cli.common import FAILED, counted, directory, json_output, print_json, told

if TYPE_CHECKING:
    from esb.config import Components, Definition

SAFE_SQLITE = (3, 51, 3)
Check = tuple[str, str, str]  # subject, "ok" | "warning" | "error", sentence


@click.command("doctor")
@directory
@json_output
@told
def command(root: str, env: str | None, as_json: bool) -> None:
    """Check this machine, the configuration, the broker, the database and every endpoint."""
    checks = list(_checks(root, env))
    if as_json:
        print_json([{"subject": s, "state": state, "text": text} for s, state, text in checks])
    else:
        for subject, state, text in checks:
            colour = {"ok": "green", "warning": "yellow", "error": "red"}[state]
            click.echo(f"{click.style(state.ljust(8), fg=colour)}{subject.ljust(22)}{text}")
    if any(state == "error" for _, state, _ in checks):
        sys.exit(FAILED)


def _checks(root: str, env: str | None) -> Iterator[Check]:
    from esb.config import inspect
    from esb.discovery import discover
    from esb.masking import first_masked

    version = sys.version_info
    yield "python", "ok" if version >= (3, 11) else "error", f"{version.major}.{version.minor}.{version.micro}"
    components = discover()
    yield "adapters", "ok", ", ".join(sorted(components.adapters))
    checked = inspect(root, components, env)
    errors = [f for f in checked.findings if f.level == "error"]
    if checked.definition is None:
        yield "configuration", "error", f"{counted(len(errors), 'error')}: run `esb check`"
        return
    flows, endpoints = len(checked.definition.flows), len(checked.definition.endpoints)
    yield "configuration", "ok", f"{counted(flows, 'flow')}, {counted(endpoints, 'endpoint')}"
    config, data = checked.definition.config, checked.definition.data_directory
    if "embedded" in (config.broker, config.database):
        yield _sqlite()
    found = _asked("broker", partial(_broker, config.broker, data))
    yield found
    if found[1] == "ok" and config.broker != "embedded":
        yield from _hazard(config.broker, data)
    yield _asked("database", partial(_database, config.database, data))
    if first_masked(checked.definition.contracts):
        yield "encryption", "ok", _key(config.encryption.keys, data)
    for name in checked.definition.endpoints:
        yield _asked(f"endpoint {name}", partial(_endpoint, name, checked.definition, components))


def _sqlite() -> Check:
    text = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info >= SAFE_SQLITE:
        return "sqlite", "ok", text
    return "sqlite", "ok", f"{text}: its WAL-reset bug is avoided by having one checkpointer; 3.51.3 has it mended"


def _asked(subject: str, ask: Callable[[], str]) -> Check:
    from esb.errors import EsbError

    try:
        return subject, "ok", ask()
    except (EsbError, OSError) as error:
        return subject, "error", str(error)


def _broker(url: str, data: Path) -> str:
    from esb.broker import open_broker

    if url == "embedded" and not (data / "broker.db").exists():
        return f"embedded broker at {data / 'broker.db'}, made at the first start"
    broker = open_broker(url, data)
    try:
        return broker.check()
    finally:
        broker.close()


def _hazard(url: str, data: Path) -> Iterator[Check]:
    from esb.broker import open_broker
    from esb.errors import BrokerDown

    with closing(open_broker(url, data)) as broker, suppress(BrokerDown):  # gone this moment: the next look tells
        if text := broker.hazard():
            yield "queues", "warning", text


def _database(url: str, data: Path) -> str:
    from esb.store import open_store

    if url == "embedded" and not (data / "store.db").exists():
        return f"SQLite at {data / 'store.db'}, made at the first start"
    store = open_store(url, data)
    try:
        text = store.check()
        store.require_current()
        return text
    finally:
        store.close()


def _key(keys: Sequence[object], data: Path) -> str:
    """What masked fields are encrypted with; a bus that has nothing has a finding."""
    from esb.store.seal import KEY_FILE

    if keys:
        return "masked fields are encrypted with a key of your own"
    made = "" if (data / KEY_FILE).exists() else ", made at the first start"
    return f"masked fields are encrypted with {data / KEY_FILE}{made}"


def _endpoint(name: str, definition: Definition, components: Components) -> str:
    from esb.discovery import make_adapter

    adapter = make_adapter(name, definition, components)
    try:
        adapter.open()
        return adapter.check()
    finally:
        adapter.close()
