"""`esb demo`: the retail example with its systems, the ledger it ends with, and the proof that both agree."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from esb.cli.common import FAILED, told

if TYPE_CHECKING:
    from esb.examples.retail.demo import Systems
    from esb.store import Ledger, Store

PATIENCE = 120.0  # seconds for everything to settle
START = 60.0  # seconds for the bus to come up
STOP = 45.0  # seconds for the bus to finish what is under way: its own drain time and some more


@click.command("demo")
@click.option("--once", is_flag=True, help="Exit when the ledger has settled: 0 if it equals what the systems saw.")
@click.option(
    "--dir", "workdir", default=".demo", show_default=True, type=click.Path(file_okay=False), help="Where it all lies."
)
@click.option(
    "--tickets", default=300, show_default=True, type=click.IntRange(20, 100_000), help="How many the tills write."
)
@click.option("--seed", default=1, show_default=True, help="Another seed, other tickets.")
@told
def command(once: bool, workdir: str, tickets: int, seed: int) -> None:
    """Run a retailer's bus: tills drop CSV files, orders go to a warehouse, a search service and an archive.

    Everything runs on this machine: the bus, and stand-ins for the systems around it. Among the tickets are broken
    ones, a file that comes twice, and a warehouse that goes down for some seconds. With ESB_BROKER and ESB_DATABASE
    it runs on RabbitMQ and PostgreSQL; what an earlier demo left there is cleared, anything else is left alone.
    """
    from esb.examples.retail.demo import start_systems

    place = Path(workdir)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what Ctrl-C does: everything is stopped in order
    began = time.monotonic()
    _say(f"Starting a retailer's bus in {place}, and the systems around it …")
    with start_systems(place) as systems, _store(place, systems) as store, _bus(place, systems) as process:
        _wait_for(store, process, place)
        _say(f"The tills drop {tickets} tickets. The warehouse will lose its power on the way.\n")
        agreed = _deliver(systems, store, process, (tickets, seed), began)
        if not once and process.poll() is None:
            _explore(place, process)
    if not agreed:
        sys.exit(FAILED)


@contextmanager
def _store(place: Path, systems: Systems) -> Iterator[Store]:
    """The demo's store. On servers, tables and queues are made empty first."""
    from esb.bus import data_directory
    from esb.cli.fresh import definition_of, make_fresh
    from esb.store import open_store

    definition = definition_of(place, {**os.environ, **systems.env})
    make_fresh(definition)
    with closing(open_store(definition.config.database, data_directory(definition))) as store:
        yield store


@contextmanager
def _bus(place: Path, systems: Systems) -> Iterator[subprocess.Popen[bytes]]:
    """`esb run` on the demo's directory; stopped in every case. What it logs is in bus.log."""
    from esb.cli.supervisor import command_of, launch

    with (place / "bus.log").open("wb") as log:
        process = launch(command_of("run", "-C", str(place)), {**os.environ, **systems.env}, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_for(store: Store, process: subprocess.Popen[bytes], place: Path) -> None:
    """Until the bus has come up; what it said otherwise."""
    deadline = time.monotonic() + START
    while not _active(store):
        if process.poll() is not None or time.monotonic() > deadline:
            log = (place / "bus.log").read_text(errors="replace")
            raise click.ClickException(f"the bus did not come up; it said:\n{log[-3000:]}")
        time.sleep(0.1)


def _active(store: Store) -> bool:
    """Has the bus come up? Then the definition in force is in the store."""
    from esb.errors import StoreError

    try:
        if store.current() != store.head():
            return False
        with store.reading() as t:
            return bool(t.definitions.active_hash())
    except StoreError:
        return False


def _deliver(
    systems: Systems, store: Store, process: subprocess.Popen[bytes], load: tuple[int, int], began: float
) -> bool:
    """Drop the tickets, follow them to their end, print the ledger; whether it equals what the systems saw."""
    from esb.cli.ledger import show
    from esb.examples.retail.demo import compare, drop_tickets

    expected = drop_tickets(systems.workdir, *load)
    ledger = _settled(store, expected.accepted, process)
    _say(f"\nThe ledger, {time.monotonic() - began:.0f} s after the start:\n")
    show(ledger)
    differences = compare(ledger, systems.recorded(), expected)
    _compared(differences, systems.workdir)
    return not differences


def _settled(store: Store, accepted: int, process: subprocess.Popen[bytes]) -> Ledger:
    """Follow the ledger until nothing is under way any more."""
    deadline = time.monotonic() + PATIENCE
    with _progress(accepted) as advance:
        while True:
            with store.reading() as t:
                ledger = t.tracking.ledger()
            advance(min(_ended(ledger), accepted))
            if ledger.accepted >= accepted and ledger.settled and _delivered(ledger):
                return ledger
            if time.monotonic() > deadline or process.poll() is not None:
                return ledger
            time.sleep(0.2)


@contextmanager
def _progress(length: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, elsewhere a line at each quarter; called with how far it is."""
    if sys.stderr.isatty():
        with click.progressbar(length=length, label="tickets", file=sys.stderr, show_pos=True) as bar:
            yield lambda position: bar.update(max(position - bar.pos, 0))
        return
    quarters = [length * n // 4 for n in (1, 2, 3, 4)]

    def tell(position: int) -> None:
        passed = [quarter for quarter in quarters if quarter <= position]
        if passed:
            _say(f"tickets: {position} of {length}")
            del quarters[: len(passed)]

    yield tell


def _ended(ledger: Ledger) -> int:
    return max(ledger.accepted - ledger.in_progress - ledger.in_flight - ledger.retrying, 0)


def _delivered(ledger: Ledger) -> bool:
    """Has each event reached each of its subscribers? Their copies are rows of their own."""
    copies = [sum(counts.values()) for place, counts in ledger.flows.items() if place != "flow:sales"]
    return len(copies) == 2 and all(count >= ledger.published for count in copies)


def _compared(differences: list[str], place: Path) -> None:
    if not differences:
        click.secho(
            "\nThe ledger equals what the systems recorded: nothing lost, nothing doubled.", fg="green", err=True
        )
        return
    click.secho("\nThe ledger differs from what the systems recorded:", fg="red", err=True)
    for difference in differences:
        _say(f"  {difference}")
    _say(f"{place / 'bus.log'} has what the bus said")


def _explore(place: Path, process: subprocess.Popen[bytes]) -> None:
    looks = {
        "failed list --groups": "what is parked, and why",
        "messages": "what went through",
        "trace ORDER": "the journey of one order, such as the first of those",
        "flows": "the flows and their figures",
    }
    _say("\nThe bus goes on running. In another terminal:\n")
    for name in ("ESB_BROKER", "ESB_DATABASE"):
        if name in os.environ:
            _say(f"  export {name}=…  as here")
    for look, text in looks.items():
        _say(f"  {f'esb {look} -C {place}':<{len(str(place)) + 32}}{text}")
    _say(
        f"\nDrop CSV files into {place / 'inbox/pos'}, such as {place / 'samples/ticket.csv'}. Ctrl-C stops everything."
    )
    try:
        process.wait()
        _say(f"the bus has ended; {place / 'bus.log'} has what it said")
    except KeyboardInterrupt:
        _say("\nstopping: what is under way is finished first")


def _say(text: str) -> None:
    click.echo(text, err=True)
