"""`esb demo`: the retail example with its systems, the ledger it ends with, and the proof that both agree."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from esb.cli.common import FAILED, told

if TYPE_CHECKING:
    from esb.store import Ledger, Store

PATIENCE = 120.0  # seconds for everything to settle
START = 60.0  # seconds for the bus to come up


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
    ones, a file that comes twice, and a warehouse that goes down for some seconds.
    """
    from esb.examples.retail.demo import compare, drop_tickets, start_systems

    place = Path(workdir)
    began = time.monotonic()
    with start_systems(place) as systems, _bus(place, systems.env) as process:
        store = _opened(place, systems.env, process)
        expected = drop_tickets(place, tickets, seed)
        ledger = _settled(store, expected.accepted, process)
        _print(ledger, time.monotonic() - began)
        differences = compare(ledger, systems.recorded(), expected)
        _compared(differences)
        if not once:
            _explore(place, systems.urls, process)
        store.close()
    if differences:
        sys.exit(FAILED)


@contextmanager
def _bus(place: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`esb run` on the demo's directory; stopped in every case. What it logs is in bus.log."""
    from esb.cli.supervisor import command_of

    with (place / "bus.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            command_of("run", "-C", str(place)), env={**os.environ, **env}, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(45)
        except subprocess.TimeoutExpired:
            process.kill()


def _opened(place: Path, env: dict[str, str], process: subprocess.Popen[bytes]) -> Store:
    from esb.config import load_bus_config
    from esb.store import open_store

    root, config = load_bus_config(place, None, {**os.environ, **env})
    store = open_store(config.database, root / config.data)
    _wait(lambda: _active(store), START, process, place)
    return store


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


def _wait(condition: Callable[[], bool], limit: float, process: subprocess.Popen[bytes], place: Path) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            log = (place / "bus.log").read_text(errors="replace")
            click.echo(log[-3000:], err=True)
            raise click.ClickException(f"the bus did not come up; {place / 'bus.log'} has what it said")
        time.sleep(0.1)


def _settled(store: Store, accepted: int, process: subprocess.Popen[bytes]) -> Ledger:
    """Follow the ledger until nothing is under way any more."""
    deadline = time.monotonic() + PATIENCE
    with click.progressbar(length=accepted, label="tickets", file=sys.stderr) as bar:
        while True:
            with store.reading() as t:
                ledger = t.tracking.ledger()
            bar.update(min(_ended(ledger), accepted) - bar.pos)
            if ledger.accepted >= accepted and ledger.settled and _told(ledger):
                return ledger
            if time.monotonic() > deadline or process.poll() is not None:
                return ledger
            time.sleep(0.2)


def _ended(ledger: Ledger) -> int:
    return ledger.accepted - ledger.in_progress - ledger.in_flight - ledger.retrying


def _told(ledger: Ledger) -> bool:
    """Has each event reached each of its subscribers? Their copies are rows of their own."""
    copies = [sum(counts.values()) for place, counts in ledger.flows.items() if place != "flow:sales"]
    return len(copies) == 2 and all(count >= ledger.published for count in copies)


def _print(ledger: Ledger, seconds: float) -> None:
    from esb.cli.ledger import show

    click.echo(f"\nThe ledger after {seconds:.0f} s:\n", err=True)
    show(ledger)


def _compared(differences: list[str]) -> None:
    if not differences:
        click.secho(
            "\nThe ledger equals what the systems recorded: nothing lost, nothing doubled.", fg="green", err=True
        )
        return
    click.secho("\nThe ledger differs from what the systems recorded:", fg="red", err=True)
    for difference in differences:
        click.echo(f"  {difference}", err=True)


def _explore(place: Path, urls: Any, process: subprocess.Popen[bytes]) -> None:
    click.echo(
        f"""
The bus goes on running. In another terminal:

  esb -h                                  what there is
  esb failed list -C {place}               what is parked, and why
  esb messages -C {place}                  what went through
  esb trace -C {place} ORDER               the journey of one order
  esb flows -C {place}                     the flows and their figures

Drop CSV files into {place / "inbox/pos"}; Ctrl-C stops everything.""",
        err=True,
    )
    try:
        process.wait()
    except KeyboardInterrupt:
        click.echo("\nstopping: what is under way is finished first", err=True)
