"""`esb replay`: parked messages sent on again in steps, with care; how far each has come, and what to do then."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import click

from esb.cli.common import (
    FAILED,
    counted,
    directory,
    json_output,
    moment,
    not_found,
    opened_store,
    print_json,
    print_table,
    told,
)
from esb.cli.failed import choose, selection

if TYPE_CHECKING:
    from esb.store import Replay, Store
    from esb.worker.replays import Act

EVERY = 0.5  # seconds between two looks of --watch
WHY = click.option("--why", default="", help="The reason, for the audit.")


@click.group("replay")
def command() -> None:
    """Send parked messages on again in steps; follow, pause, resume or cancel that."""


@command.command("start")
@directory
@selection
@click.option("--steps", default="1, 5, 20, 100", show_default=True, help="Messages of each step; the last goes on.")
@click.option("--rate", default=0.0, help="Messages a second at the most; 0: as many as there is room for.")
@click.option("--tolerate", default=0, show_default=True, help="New failures to accept; -1: any number.")
@told
def start(
    root: str, env: str | None, why: str, yes: bool, steps: str, rate: float, tolerate: int, **chosen: Any
) -> None:  # fmt: skip
    """Send messages on again in steps: each begins when what came of the one before is known, and nothing new failed.

    The role jobs of a running bus goes on with it.
    """
    from esb.worker import repair
    from esb.worker.replays import plan_of

    try:
        plan = plan_of(steps, rate, tolerate)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    with opened_store(root, env) as store:
        meant = choose("replay", store, chosen, yes)
        started = repair.replay(store, meant, plan, getpass.getuser(), why)
    click.echo(f"{counted(started.count, 'message')} to be sent on in steps: `esb replay show --watch`", err=True)
    click.echo(started.replay)


@command.command("list")
@directory
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="Most to show.")
@json_output
@told
def list_(root: str, env: str | None, limit: int, as_json: bool) -> None:
    """List replays, the newest first, and how far each has come."""
    with opened_store(root, env) as store, store.reading() as t:
        rows = t.replays.list(limit)
    if as_json:
        return print_json(rows)
    print_table(
        ("started", "state", "messages", "seen", "sent", "failed", "who", "why", "replay", "note"),
        [(moment(r.started_at), r.state, r.total, r.seen, r.sent, r.failed, r.who, r.why, r.id, r.note) for r in rows],
        right=("messages", "seen", "sent", "failed"),
        shrink=(("note", 20), ("why", 12), ("replay", 13), ("started", 8)),
    )
    click.echo(counted(len(rows), "replay"), err=True)
    return None


@command.command("show")
@directory
@click.argument("replay", required=False)
@click.option("--watch", is_flag=True, help="Follow it until it ends or waits for somebody; exit code 1 if it stopped.")
@json_output
@told
def show(root: str, env: str | None, replay: str | None, watch: bool, as_json: bool) -> None:
    """Show how far a replay has come; without an id, the newest."""
    with opened_store(root, env) as store:
        one = _find(store, replay)
        if watch and not as_json:
            one = _follow(store, one)
    if as_json:
        return print_json(one)
    for line in _lines(one):
        click.echo(line)
    if one.state == "stopped":
        sys.exit(FAILED)
    return None


@command.command("pause")
@directory
@click.argument("replay", required=False)
@WHY
@told
def pause(root: str, env: str | None, replay: str | None, why: str) -> None:
    """Let a replay rest: what was sent on goes its way, nothing more is sent on."""
    _act(root, env, replay, "pause", why)


@command.command("resume")
@directory
@click.argument("replay", required=False)
@WHY
@told
def resume(root: str, env: str | None, replay: str | None, why: str) -> None:
    """Let a replay go on that is paused, or that stopped since something failed; that is forgiven."""
    _act(root, env, replay, "resume", why)


@command.command("next")
@directory
@click.argument("replay", required=False)
@WHY
@told
def next_(root: str, env: str | None, replay: str | None, why: str) -> None:
    """Begin the next step now, whatever has become of the last one."""
    _act(root, env, replay, "next", why)


@command.command("cancel")
@directory
@click.argument("replay", required=False)
@WHY
@told
def cancel(root: str, env: str | None, replay: str | None, why: str) -> None:
    """End a replay: what was not sent on stays parked."""
    _act(root, env, replay, "cancel", why)


def _act(root: str, env: str | None, replay: str | None, act: Act, why: str) -> None:
    from esb.worker.replays import act_on

    with opened_store(root, env) as store:
        one = _find(store, replay)
        with store.transaction() as t:
            one = act_on(t, one.id, act, time.time(), getpass.getuser(), why)
    click.echo(f"{one.id} is {one.state}", err=True)


def _find(store: Store, replay: str | None) -> Replay:
    """By its id or the beginning of it; else the newest that is not over, else the newest."""
    with store.reading() as t:
        rows = t.replays.list(1000)
    found = [row for row in rows if row.id.startswith(replay)] if replay else _newest(rows)
    if not found:
        not_found(f"no replay with the id {replay}" if replay else "there is no replay")
    if len(found) > 1:
        raise click.UsageError(f"{len(found)} replays begin with {replay}: give more of the id")
    return found[0]


def _newest(rows: Sequence[Replay]) -> Sequence[Replay]:
    return [row for row in rows if not row.ended_at][:1] or rows[:1]


def _follow(store: Store, one: Replay) -> Replay:
    """Until it does not go on by itself."""
    with click.progressbar(length=one.total, label="replay", file=sys.stderr) as bar:
        while True:
            with store.reading() as t:
                one = cast("Replay", t.replays.get(one.id))
            bar.update(one.seen - bar.pos)
            if one.ended_at or one.state != "running":
                return one
            time.sleep(EVERY)


def _lines(one: Replay) -> list[str]:
    careful = f"steps {one.steps}" if one.steps else "all at once"
    careful += f", at most {one.rate:g} a second" if one.rate else ""
    careful += f", stops at more than {counted(one.tolerate, 'new failure')}" if one.tolerate >= 0 else ""
    facts = {
        "replay": one.id, "state": one.state, "note": one.note, "messages": one.total,
        "worked off": f"{one.seen}, of which {one.sent} were still parked and sent on",
        "step": f"{one.step}, {one.rest} of it left" if one.step and one.steps else "", "failed": one.failed or "",
        "plan": careful, "started": f"{moment(one.started_at)} by {one.who}", "why": one.why,
        "ended": moment(one.ended_at) if one.ended_at else "",
    }  # fmt: skip
    return [f"{name:<12}{value}" for name, value in facts.items() if value not in ("", None)]
