"""Test messages at the command line: sending one, and how the latest of each flow fared."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from esb.cli.common import FAILED, complain, moment, print_json, print_table, unknown

if TYPE_CHECKING:
    from esb.config import Components, Definition
    from esb.store import Store
    from esb.worker.synthetic import Fared

COLOURS = {"passed": "green", "failed": "red"}
_LOOK = 0.2  # seconds between two looks at a journey


def send_test(definition: Definition, components: Components, name: str, wait: bool, as_json: bool) -> None:
    """Send a flow its test message; with ``wait`` tell how it fares, and leave with exit code 1 when it fails."""
    from esb.bus import make_upkeep, open_doors
    from esb.worker import synthetic

    flow = definition.flows.get(name)
    if flow is None or flow.test_message is None:
        unknown("flow with a test message", name, [f.name for f in definition.flows.values() if f.test_message])
    with ExitStack() as closing:
        broker, store = open_doors(definition, closing)
        store.require_current()
        upkeep, _ = make_upkeep(definition, components, broker, store)
        now = time.time()
        with store.transaction() as t:
            message = synthetic.send_test(t, definition, upkeep.journal(), flow, now, now)
        if wait:
            result = _awaited(store, definition, name)
            _tell(result, as_json)
            if result.state != "passed":
                sys.exit(FAILED)
        elif as_json:
            print_json({"id": message.id})
        else:
            click.echo(message.id)
            click.echo("sent; `esb flows tests` shows how it fares", err=True)


def list_tests(store: Store, definition: Definition, as_json: bool) -> None:
    """The latest test message of each flow that has one; exit code 1 when one failed."""
    from esb.worker.synthetic import fared

    flows = [flow for flow in definition.flows.values() if flow.test_message]
    with store.reading() as t:
        found = [fared(t, flow, time.time()) for flow in flows]
    if as_json:
        print_json(found)
    else:
        rows = [(one.flow, one.state, moment(one.at), one.text, one.id) for one in found]
        print_table(("flow", "state", "sent", "text", "correlation"), rows, shrink=(("text", 20), ("correlation", 8)))
        if not flows:
            click.echo("no flow has a test_message", err=True)
    if any(one.state == "failed" for one in found):
        sys.exit(FAILED)


def _awaited(store: Store, definition: Definition, name: str) -> Fared:
    """How it fared when that is certain, at the latest when its time is up."""
    from esb.worker.synthetic import fared

    while True:
        with store.reading() as t:
            result = fared(t, definition.flows[name], time.time())
        if result.state != "under way":
            return result
        time.sleep(_LOOK)


def _tell(result: Fared, as_json: bool) -> None:
    if as_json:
        return print_json(result)
    click.secho(f"{result.flow}: {result.state}{f': {result.text}' * bool(result.text)}", fg=COLOURS.get(result.state))
    if result.state == "failed":
        complain(f"the test message of {result.flow} failed: `esb trace {result.id}` shows its journey")
    return None
