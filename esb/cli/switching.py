"""What commands share that set something on a running bus: say what is wrong, do it, tell what holds now."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import click

from esb.cli.common import load, not_found, opened_store
from esb.flow.switchable import Switchable, switchable

if TYPE_CHECKING:
    from esb.config import Definition
    from esb.store import Switch, SwitchKind

WHY = click.option("--why", default="", help="The reason, for the audit.")
SOON = "a running bus sees it within a second"


def set_switch(root: str, env: str | None, kind: SwitchKind, name: str, rows: Mapping[str, str], why: str) -> int:
    """Set rows; how many changed. Leaves with exit code 3 where there is no such thing, or the value makes no sense."""
    definition, _ = load(root, env)
    known = switchable(definition)
    for key, value in rows.items():
        _refuse(known.problem(kind, name, key, value))
    with opened_store(root, env) as store, store.transaction() as t:
        return t.switches.set(kind, name, rows, getpass.getuser(), why)


def unset_switch(root: str, env: str | None, kind: SwitchKind, name: str, keys: Sequence[str], why: str) -> int:
    """Take rows back; how many were set. What is no longer in the configuration can be taken back, too."""
    with opened_store(root, env) as store, store.transaction() as t:
        return t.switches.unset(kind, name, keys, getpass.getuser(), why)


def known_switches(root: str, env: str | None) -> tuple[Switchable, list[Switch]]:
    """What can be set, and what is; nothing is where the bus has not run yet."""
    definition, _ = load(root, env)
    return switchable(definition), stored(definition)


def stored(definition: Definition) -> list[Switch]:
    """What is set now, in order."""
    from esb.cli.figures import said, there
    from esb.store import open_store

    data = definition.data_directory
    if there(definition.config.database, data / "store.db"):
        with said("not known what is set"), closing(open_store(definition.config.database, data)) as store:
            store.require_current()
            with store.reading() as t:
                return list(t.switches.all())
    return []


def tell(what: str, changed: int, done: str, nothing: str) -> None:
    """What came of it, on stderr."""
    click.echo(f"{what}: {done}; {SOON}" if changed else f"{what}: {nothing}", err=True)


def _refuse(problem: str) -> None:
    if problem:
        not_found(problem)
