"""`esb db`: the tables of the store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from esb.cli.common import FAILED, bus_directory, directory, json_output, print_json, require_store, told

if TYPE_CHECKING:
    from esb.store import Store


@click.group("db")
def command() -> None:
    """Create, upgrade or inspect the database."""


@command.command("upgrade")
@directory
@told
def upgrade(root: str, env: str | None) -> None:
    """Bring the tables to what this version needs. Stop the bus first when it is an older version."""
    with _opened(root, env) as store:
        before, head = store.revision()
        if before == head:
            click.echo(f"{store.name} is at {head} already", err=True)
            return
        store.migrate()
    click.echo(f"{store.name}: {before or 'empty'} -> {head}", err=True)


@command.command("status")
@directory
@json_output
@told
def status(root: str, env: str | None, as_json: bool) -> None:
    """Say which revision the tables have, and which one is needed."""
    with _opened(root, env, anew=False) as store:
        current, head = store.revision()
    if as_json:
        print_json({"store": store.name, "current": current, "needed": head, "ok": current == head})
    else:
        click.echo(f"{store.name}: at {current or 'nothing'}, needed {head}")
    if current != head:
        sys.exit(FAILED)


@command.command("prune")
@directory
@told
def prune(root: str, env: str | None) -> None:
    """Delete what is older than `retention:` says, now instead of by and by."""
    import time

    from esb.cli.common import opened_store
    from esb.config import load_bus_config

    _, config = load_bus_config(bus_directory(root), env)
    with opened_store(root, env) as store:
        for table, rows in sorted(store.prune(time.time(), config.retention).items()):
            click.echo(f"{table}: {rows} rows deleted", err=True)


@contextmanager
def _opened(root: str, env: str | None, anew: bool = True) -> Iterator[Store]:
    """The store, whatever its tables are; ``anew``: made where there is none."""
    from esb.config import load_bus_config
    from esb.store import open_store

    place, config = load_bus_config(bus_directory(root), env)
    if not anew:
        require_store(place, config, env)
    with closing(open_store(config.database, place / config.data)) as store:
        yield store
