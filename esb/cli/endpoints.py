"""`esb endpoints`: what is registered, how it is doing, and whether it answers."""

from __future__ import annotations

import getpass
import sys
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from esb.cli.common import (
    FAILED,
    directory,
    json_output,
    load,
    moment,
    opened_store,
    print_json,
    print_table,
    told,
    unknown,
)
from esb.cli.listing import Listing
from esb.cli.purging import purge_options, purge_queue

if TYPE_CHECKING:
    from esb.cli.figures import Figures
    from esb.config import Components, Definition
    from esb.store import Transaction

WHY = click.option("--why", default="", help="The reason, for the audit.")


@click.group("endpoints", cls=Listing)
def command() -> None:
    """List endpoints with their state; test, pause, resume one, or reset its breaker."""


@command.command("list")
@directory
@click.argument("name", required=False)
@click.option("--test", is_flag=True, help="Ask each system for a sign of life (no effect there).")
@click.option("--kinds", is_flag=True, help="List the adapter kinds that are installed.")
@json_output
@told
def list_(root: str, env: str | None, name: str | None, test: bool, kinds: bool, as_json: bool) -> None:
    """List endpoints with breaker, waiting and parked messages, and their last health probe; or one by NAME."""
    if kinds:
        return _kinds(as_json)
    definition, components = load(root, env)
    if name and name not in definition.endpoints:
        unknown("endpoint", name, definition.endpoints)
    rows = _rows(definition, components, name)
    if test:
        _test(rows, definition, components)
    if as_json:
        print_json(rows)
    else:
        _show(rows, test)
    if any(row.get("check", {}).get("ok") is False for row in rows):
        sys.exit(FAILED)
    return None


@command.command("test")
@directory
@click.argument("name")
@WHY
@told
def test(root: str, env: str | None, name: str, why: str) -> None:
    """Ask the system behind an endpoint for a sign of life, within ten seconds; it has no effect there."""
    from esb.discovery import make_adapter
    from esb.worker.connection import try_connection

    definition, components = load(root, env)
    if name not in definition.endpoints:
        unknown("endpoint", name, definition.endpoints)
    with opened_store(root, env) as store:
        probe = try_connection(store, make_adapter(name, definition, components), getpass.getuser(), why)
    click.secho(f"{name}: {probe.text} ({probe.ms:.0f} ms)", fg="green" if probe.ok else "red", err=True)
    if not probe.ok:
        sys.exit(FAILED)


@command.command("pause")
@directory
@click.argument("name")
@WHY
@told
def pause(root: str, env: str | None, name: str, why: str) -> None:
    """Stop an endpoint: nothing is sent to it or taken from it until it is resumed, whatever restarts meanwhile."""
    _act(root, env, name, lambda t: t.pauses.pause(name, getpass.getuser(), why), "paused", "it was paused already")


@command.command("resume")
@directory
@click.argument("name")
@WHY
@told
def resume(root: str, env: str | None, name: str, why: str) -> None:
    """Let a paused endpoint go on."""
    _act(root, env, name, lambda t: t.pauses.resume(name, getpass.getuser(), why), "resumed", "it was not paused")


@command.command("reset")
@directory
@click.argument("name")
@WHY
@told
def reset(root: str, env: str | None, name: str, why: str) -> None:
    """Close an open breaker by hand: what waits is sent at once."""
    _act(root, env, name, lambda t: t.breakers.reset(name, getpass.getuser(), why), "closed", "it was closed already")


@command.command("purge")
@directory
@click.argument("name")
@purge_options
@told
def purge(root: str, env: str | None, name: str, why: str, keep: bool, yes: bool) -> None:
    """Take away what waits to be sent to NAME: Channel Purger. Nothing is lost: each message is kept as discarded.

    A flow or a saga that waits for an answer is told that there will be none.
    """
    purge_queue(root, env, "endpoint", name, why, keep, yes)


def _act(
    root: str, env: str | None, name: str, act: Callable[[Transaction], bool], done: str, nothing: str
) -> None:  # fmt: skip
    definition, _ = load(root, env)
    if name not in definition.endpoints:
        unknown("endpoint", name, definition.endpoints)
    with opened_store(root, env) as store, store.transaction() as t:
        changed = act(t)
    click.echo(f"{name}: {done}; a running bus sees it within a second" if changed else f"{name}: {nothing}", err=True)


def _rows(definition: Definition, components: Components, name: str | None) -> list[dict[str, Any]]:
    from esb.cli.figures import figures
    from esb.worker.queues import queues_to

    chosen = [e for e in definition.endpoints.values() if name in (None, e.name)]
    found = figures(definition, [queue for e in chosen for queue in queues_to(definition, e.name)])
    parked: Counter[str] = Counter()
    for _, place, count in found.ledger.parked_by if found.ledger else ():
        parked[place] += count
    rows = []
    for e in chosen:
        breaker, pause, probe = found.breakers.get(e.name), found.pauses.get(e.name), found.probes.get(e.name)
        rows.append({
            "endpoint": e.name, "title": e.title, "adapter": e.adapter, "owner": e.owner,
            "receives": e.receive is not None, "operations": sorted(e.operations),
            "state": _state(e.name, found), "breaker": breaker.state if breaker else "closed",
            "waiting": found.waiting(*queues_to(definition, e.name)),
            "parked": parked[f"out:{e.name}"] + parked[f"in:{e.name}"],
            "paused": {"at": pause.at, "who": pause.who, "reason": pause.reason} if pause else None,
            "probe": {"ok": probe.ok, "text": probe.text, "at": probe.at, "since": probe.since, "ms": probe.ms}
            if probe else None,
        })  # fmt: skip
    return rows


def _test(rows: list[dict[str, Any]], definition: Definition, components: Components) -> None:
    from esb.discovery import make_adapter
    from esb.worker.connection import ask_connection

    for row in rows:
        probe = ask_connection(make_adapter(row["endpoint"], definition, components))
        row["check"] = {"ok": probe.ok, "text": probe.text}


def _state(name: str, found: Figures) -> str:
    """``paused`` by a person, else what its breaker says."""
    breaker = found.breakers.get(name)
    return "paused" if name in found.pauses else breaker.state if breaker else "closed"


def _show(rows: list[dict[str, Any]], tested: bool) -> None:
    head = [
        "endpoint",
        "adapter",
        "direction",
        "operations",
        "state",
        "waiting",
        "parked",
        "check" if tested else "answers",
    ]
    table = []
    for row in rows:
        ways = [word for word, there in (("in", row["receives"]), ("out", bool(row["operations"]))) if there]
        line = [row["endpoint"], row["adapter"], " ".join(ways), " ".join(row["operations"]), row["state"]]
        table.append([*line, row["waiting"], row["parked"], _checked(row) if tested else _probed(row["probe"])])
    print_table(head, table, right=("waiting", "parked"))
    for row in rows:
        if row["paused"]:
            since = f"since {moment(row['paused']['at'])} by {row['paused']['who']}"
            why = row["paused"]["reason"] or "no reason given"
            click.secho(f"{row['endpoint']} is paused {since}: {why}", fg="yellow", err=True)
        if row["probe"] and not row["probe"]["ok"] and not tested:
            since = moment(row["probe"]["since"])
            click.secho(f"{row['endpoint']} has not answered since {since}: {row['probe']['text']}", fg="red", err=True)


def _checked(row: dict[str, Any]) -> str:
    """What it said just now."""
    return ("ok: " if row["check"]["ok"] else "FAILED: ") + row["check"]["text"]


def _probed(probe: dict[str, Any] | None) -> str:
    """Whether it answered when it was last asked, and when that was."""
    if probe is None:
        return "not asked yet"
    return f"{'yes' if probe['ok'] else 'NO'}, {moment(probe['at'])}"


def _kinds(as_json: bool) -> None:
    from esb.discovery import discover

    kinds = sorted(discover().adapters.items())
    if as_json:
        print_json([{"kind": name, "summary": kind.summary, "features": kind.features} for name, kind in kinds])
        return
    rows = []
    for name, kind in kinds:
        able = [word for word in kind.features.__struct_fields__ if getattr(kind.features, word)]
        rows.append((name, " ".join(able), kind.summary))
    print_table(("kind", "features", "summary"), rows)
