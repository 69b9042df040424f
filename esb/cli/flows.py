"""`esb flows`: the flows and their figures; one of them, drawn as text; and what people set of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click
import msgspec

from esb.cli.common import (
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
from esb.cli.switching import WHY, known_switches, set_switch, stored, tell, unset_switch
from esb.cli.synthetic import list_tests

if TYPE_CHECKING:
    from esb.cli.figures import Figures
    from esb.config import Definition
    from esb.config.definition import LoadedFlow, LoadedSaga
    from esb.store import Switch, SwitchKind


_HEAD = ("flow", "kind", "from", "waiting", "completed", "filtered", "parked", "next", "title")
RESET = "reset"
MOST = 1000  # lines


@click.group("flows", cls=Listing)
def command() -> None:
    """List flows and sagas with their figures, or draw one; pause and resume a flow, switch its detours, set rates."""


@command.command("list")
@directory
@click.argument("name", required=False)
@json_output
@told
def list_(root: str, env: str | None, name: str | None, as_json: bool) -> None:
    """List flows and sagas with what waits, is done, filtered and parked; with NAME show its steps."""
    definition, _ = load(root, env)
    if name and name not in definition.flows and name not in definition.sagas:
        unknown("flow", name, [*definition.flows, *definition.sagas])
    switches = stored(definition)
    rows = _rows(definition, name, switches)
    if as_json:
        print_json(rows)
        return
    print_table(
        _HEAD,
        [[row[key] if key != "next" else moment(row[key]) for key in _HEAD] for row in rows],
        right=("waiting", "completed", "filtered", "parked"),
        shrink=(("title", 12),),
    )
    if name:
        click.echo()
        _draw(definition, name)
    for row in rows:
        if row.get("stuck"):
            said = f"{row['flow']}: {row['stuck']} stuck, each waits for a person: `esb sagas list --status stuck`"
            click.secho(said, fg="red", err=True)
    for switch in switches:
        if switch.kind != "table" and switch.name in {row["flow"] for row in rows}:
            _tell(switch)


@command.command("tests")
@directory
@json_output
@told
def tests(root: str, env: str | None, as_json: bool) -> None:
    """Show how the latest test message of each flow that has one fared; exit code 1 when one failed."""
    definition, _ = load(root, env)
    with opened_store(root, env) as store:
        list_tests(store, definition, as_json)


@command.command("lines")
@directory
@json_output
@told
def lines(root: str, env: str | None, as_json: bool) -> None:
    """Of flows with `ordering`: keys that stand still, what stands first, and how many messages wait behind it."""
    from esb.store import Stand

    with opened_store(root, env) as store, store.reading() as t:
        found = t.held.lines(MOST)
    if as_json:
        print_json([{**msgspec.structs.asdict(line), "stand": line.stand.name.lower()} for line in found])
        return
    words = {Stand.WAITING: "its turn has come", Stand.OUT: "under way, or parked", Stand.DUE: "tried again later"}
    rows = [(ln.place, ln.key, ln.first, words[ln.stand], str(ln.behind), moment(ln.since)) for ln in found]
    print_table(("at", "key", "first", "which is", "behind", "since"), rows, right=("behind",))


@command.command("pause")
@directory
@click.argument("name")
@WHY
@told
def pause(root: str, env: str | None, name: str, why: str) -> None:
    """Stop a flow: what comes to it waits in its queue until it is resumed, whatever restarts meanwhile."""
    from esb.flow.switchable import PAUSED

    changed = set_switch(root, env, "flow", name, {"": PAUSED}, why)
    tell(name, changed, "paused", "it was paused already")


@command.command("resume")
@directory
@click.argument("name")
@WHY
@told
def resume(root: str, env: str | None, name: str, why: str) -> None:
    """Let a paused flow go on."""
    tell(name, unset_switch(root, env, "flow", name, [""], why), "resumed", "it was not paused")


@command.command("detour")
@directory
@click.argument("name")
@click.argument("step", required=False)
@click.argument("state", required=False, type=click.Choice(["on", "off", RESET]))
@WHY
@told
def detour(root: str, env: str | None, name: str, step: str | None, state: str | None, why: str) -> None:
    """Switch a STEP of the flow NAME on or off; reset: as the configuration says. Without STATE: show what holds."""
    _switch(root, env, "detour", name, step, state, why)


@command.command("throttle")
@directory
@click.argument("name")
@click.argument("step", required=False)
@click.argument("rate", required=False)
@WHY
@told
def throttle(root: str, env: str | None, name: str, step: str | None, rate: str | None, why: str) -> None:
    """Let a throttle STEP of the flow NAME pass another RATE, such as 10/1s; reset: as the configuration says."""
    _switch(root, env, "throttle", name, step, rate, why)


@command.command("purge")
@directory
@click.argument("name")
@purge_options
@told
def purge(root: str, env: str | None, name: str, why: str, keep: bool, yes: bool) -> None:
    """Take away what waits for the flow NAME: Channel Purger. Nothing is lost: each message is kept as discarded."""
    purge_queue(root, env, "flow", name, why, keep, yes)


def _switch(
    root: str, env: str | None, kind: SwitchKind, name: str, step: str | None, value: str | None, why: str
) -> None:
    if step is None or value is None:
        _show(root, env, kind, name, step)
    elif value == RESET:
        changed = unset_switch(root, env, kind, name, [step], why)
        tell(f"{name}, {step}", changed, "as the configuration says", "nobody had set it")
    else:
        tell(f"{name}, {step}", set_switch(root, env, kind, name, {step: value}, why), value, f"it was {value} already")


def _show(root: str, env: str | None, kind: SwitchKind, name: str, step: str | None) -> None:
    known, set_ = known_switches(root, env)
    if name not in known.flows:
        unknown("flow", name, known.flows)
    steps: dict[str, Any] = dict((known.detours if kind == "detour" else known.throttles)[name])
    if step is not None and step not in steps:
        unknown(kind, step, steps)
    found = {switch.key: switch for switch in set_ if (switch.kind, switch.name) == (kind, name)}
    rows = [_state(each, steps[each], found.get(each)) for each in sorted(steps) if step in (None, each)]
    print_table(("step", "holds", "configured", "set", "who", "reason"), rows)


def _state(step: str, configured: Any, switch: Switch | None) -> tuple[str, ...]:
    first = ("on" if configured else "off") if isinstance(configured, bool) else str(configured)
    if switch is None:
        return step, first, first, "", "", ""
    return step, switch.value, first, moment(switch.at), switch.who, switch.reason


def _tell(switch: Switch) -> None:
    what = f"{switch.name}, {switch.key}: {switch.value}" if switch.key else f"{switch.name} is {switch.value}"
    why = switch.reason or "no reason given"
    click.secho(f"{what} since {moment(switch.at)} by {switch.who}: {why}", fg="yellow", err=True)


def _rows(definition: Definition, name: str | None, switches: list[Switch]) -> list[dict[str, Any]]:
    from esb.broker.port import saga_queue
    from esb.cli.figures import figures
    from esb.store import Status
    from esb.worker.queues import queue_of

    chosen = [f for f in definition.flows.values() if name in (None, f.name)]
    sagas = [s for s in definition.sagas.values() if name in (None, s.name)]
    found = figures(definition, [*(queue_of(f) for f in chosen), *(saga_queue(s.name) for s in sagas)])
    rows = []
    for f in chosen:
        counts = found.ledger.flows.get(f"flow:{f.name}", {}) if found.ledger else {}
        of_it = [switch for switch in switches if switch.kind != "table" and switch.name == f.name]
        rows.append({
            "flow": f.name, "kind": "flow", "title": f.title, "from": f.origin, "next": _next(f),
            "waiting": found.waiting(queue_of(f)),
            "completed": counts.get(Status.COMPLETED, 0), "filtered": counts.get(Status.FILTERED, 0),
            "parked": counts.get(Status.PARKED, 0), "steps": [step.name for step in f.steps],
            "switches": [{"kind": s.kind, "step": s.key, "value": s.value, "at": s.at, "who": s.who,
                          "reason": s.reason} for s in of_it],
        })  # fmt: skip
    return rows + [_saga(saga, found) for saga in sagas]


def _saga(saga: LoadedSaga, found: Figures) -> dict[str, Any]:
    """The same of a saga, and how many stand at each state; what is parked are messages that did not become one."""
    from esb.broker.port import saga_queue
    from esb.store import Status

    counts = found.ledger.flows.get(f"saga:{saga.name}", {}) if found.ledger else {}
    states = ("running", "compensating", "stuck", "completed", "compensated", "ended")
    return {
        "flow": saga.name, "kind": "saga", "title": saga.title, "from": saga.source, "next": None,
        "waiting": found.waiting(saga_queue(saga.name)), "filtered": 0, "parked": counts.get(Status.PARKED, 0),
        "steps": [step.name for step in saga.steps], "switches": [],
        **{state: found.sagas.get((saga.name, state), 0) for state in states},
    }  # fmt: skip


def _next(flow: LoadedFlow) -> float | None:
    """When a flow that starts by itself does so next, epoch seconds."""
    return flow.schedule.timetable().after(time.time()) if flow.schedule else None


def _draw(definition: Definition, name: str) -> None:
    from esb.admin.picture import told_lines

    if name in definition.flows:
        for depth, line in told_lines(definition.flows[name]):
            click.echo(f"{'  ' * (depth + 1)}{line}")
    if name in definition.sagas:
        for step in definition.sagas[name].steps:
            undone = f", undone by {step.compensate.call}" if step.compensate else ""
            click.echo(f"  {step.name}: {step.call}{undone}{', no way back behind it' if step.pivot else ''}")
