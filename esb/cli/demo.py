"""`esb demo`: the retail example with its systems, the ledger it ends with, and the proof that both agree."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from esb.cli.common import FAILED, told
from esb.cli.demo_bus import DemoBus

if TYPE_CHECKING:
    from esb.examples.retail.compare import Expected
    from esb.examples.retail.demo import Systems
    from esb.store import Ledger, Store

PATIENCE = 120.0  # seconds for everything to settle


@click.command("demo")
@click.option("--once", is_flag=True, help="Exit when the ledger has settled: 0 if it equals what the systems saw.")
@click.option("--crash", is_flag=True, help="Kill the bus halfway (SIGKILL, every process), and start it again.")
@click.option(
    "--dir", "workdir", default=".demo", show_default=True, type=click.Path(file_okay=False), help="Where it all lies."
)
@click.option(
    "--tickets", default=300, show_default=True, type=click.IntRange(20, 100_000), help="How many the tills write."
)
@click.option(
    "--orders", default=100, show_default=True, type=click.IntRange(20, 100_000), help="How many the web shop posts."
)
@click.option("--any-port", is_flag=True, help="Listen on ports that are free, instead of 8101 to 8105, 8480 and 8481.")
@click.option("--seed", default=1, show_default=True, help="Another seed, another day.")
@told
def command(once: bool, crash: bool, workdir: str, tickets: int, orders: int, any_port: bool, seed: int) -> None:
    """Run a retailer's bus: tills, a web shop and an ERP on one side; a warehouse, finance and others behind it.

    Everything runs on this machine: the bus, and stand-ins for the systems around it, which fail in all the ways that
    such systems do. With ESB_BROKER and ESB_DATABASE it runs on RabbitMQ and PostgreSQL; what an earlier demo left
    there is cleared, anything else is left alone.
    """
    from esb.examples.retail.demo import ANY_PORT, PORTS, start_systems

    place = Path(workdir)
    # As Ctrl-C does, both stop everything in order; a shell that starts us in the background has SIGINT ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    began = time.monotonic()
    _say(f"Starting a retailer's bus in {place}, and the systems around it …")
    ports = ANY_PORT if any_port else PORTS
    with (
        start_systems(place, ports=ports) as systems,
        _store(place, systems) as store,
        DemoBus(place, systems.env) as bus,
    ):
        bus.await_ready()
        _say("\n".join(bus.announced()) + "\n")
        _say(f"The tills drop {tickets} tickets, the ERP its stock, and the web shop posts {orders} orders.\n")
        day = _Day(systems, store, bus, systems.work(tickets, orders, seed))
        agreed = day.follow(crash, began)
        if not once and not bus.ended:
            _explore(place, bus)
    if not agreed:
        sys.exit(FAILED)


@contextmanager
def _store(place: Path, systems: Systems) -> Iterator[Store]:
    """The demo's store. On servers, tables and queues are made empty first."""
    from esb.cli.fresh import definition_of, make_fresh
    from esb.store import open_store

    definition = definition_of(place, {**os.environ, **systems.env})
    make_fresh(definition)
    with closing(open_store(definition.config.database, definition.data_directory)) as store:
        yield store


class _Day:
    """What the systems have begun, followed to its end."""

    def __init__(self, systems: Systems, store: Store, bus: DemoBus, expected: Expected) -> None:
        self._systems, self._store, self._bus, self._expected = systems, store, bus, expected
        self._deadline = time.monotonic() + PATIENCE

    def follow(self, crash: bool, began: float) -> bool:
        """Until all has settled; print the ledger; whether it equals what the systems saw."""
        from esb.cli.ledger import show
        from esb.examples.retail.compare import compare

        with _progress(self._expected.messages + 1) as advance:
            self._settle(crash, advance)
            self._report()
            ledger = self._settle(False, advance)
        _say(f"\nThe ledger, {time.monotonic() - began:.0f} s after the start:\n")
        show(ledger, ledger.settled)
        differences = compare(ledger, self._systems.recorded(), self._expected)
        _compared(differences, self._bus.log)
        return not differences

    def _settle(self, crash: bool, advance: Callable[[int], None]) -> Ledger:
        """Follow the ledger until nothing is under way any more; ``crash``: kill the bus halfway."""
        from esb.examples.retail.compare import settled

        before = None
        while True:
            ledger = self._read()
            advance(min(_ended(ledger), self._expected.messages))
            if crash and _ended(ledger) >= self._expected.messages // 2:
                crash = False
                self._crash()
            if settled(ledger, before, self._expected) and not self._systems.working:
                return ledger
            if time.monotonic() > self._deadline or self._bus.ended:
                return ledger
            before = ledger
            time.sleep(0.2)

    def _report(self) -> None:
        """The night comes early: the settlement report is asked for, as `esb jobs run settlement` does."""
        from esb.worker.schedules import job_of

        with self._store.transaction() as t:
            t.schedules.want(job_of("settlement"), time.time())
        self._expected = replace(self._expected, reports=1)

    def _read(self) -> Ledger:
        with self._store.reading() as t:
            return t.tracking.ledger()

    def _crash(self) -> None:
        _say("Killing every process of the bus (SIGKILL), and starting it again.")
        self._bus.crash()


@contextmanager
def _progress(length: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, elsewhere a line at each quarter; called with how far it is."""
    if sys.stderr.isatty():
        with click.progressbar(length=length, label="messages", file=sys.stderr, show_pos=True) as bar:
            yield lambda position: bar.update(max(position - bar.pos, 0))
        return
    quarters = [length * n // 4 for n in (1, 2, 3, 4)]

    def tell(position: int) -> None:
        passed = [quarter for quarter in quarters if quarter <= position]
        if passed:
            _say(f"messages: {position} of {length}")
            del quarters[: len(passed)]

    yield tell


def _ended(ledger: Ledger) -> int:
    return max(ledger.accepted - ledger.in_progress - ledger.in_flight - ledger.retrying, 0)


def _compared(differences: list[str], log: Path) -> None:
    if not differences:
        click.secho(
            "\nThe ledger equals what the systems recorded: nothing lost, nothing doubled.", fg="green", err=True
        )
        return
    click.secho("\nThe ledger differs from what the systems recorded:", fg="red", err=True)
    for difference in differences:
        _say(f"  {difference}")
    _say(f"{log} has what the bus said")


def _explore(place: Path, bus: DemoBus) -> None:
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
    _say("\n" + "\n".join(bus.announced()))
    _say(
        f"\nDrop CSV files into {place / 'inbox/pos'}, such as {place / 'samples/ticket.csv'}. Ctrl-C stops everything."
    )
    try:
        bus.wait()
        _say(f"the bus has ended; {bus.log} has what it said")
    except KeyboardInterrupt:
        _say("\nstopping: what is under way is finished first")


def _say(text: str) -> None:
    click.echo(text, err=True)
