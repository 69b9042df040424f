"""A trial by fire: the whole bus at work, two processes that send, and one fault after the other."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, suppress
from typing import Any

import msgspec

from esb.bus import Bus
from esb.config import load
from esb.discovery import discover
from esb.errors import StoreDown, StoreError
from esb.store import Ledger, Parked
from esb.worker.saga_acts import act
from tests.faults.harness import UNKEYED, Fire
from tests.faults.processes import BusProcess, send
from tests.faults.verdict import Verdict, judge

PATIENCE = 180.0  # seconds after which a bus that does not recover never will
WATCHED = (
    "/keyed",
    "/event",
    "/unkeyed",
    "/answered",
    "/order",
    "/later",
    "/reserve",
)  # each moves while the bus works
HOUR = 3600.0


class Struck(msgspec.Struct, kw_only=True):
    """One fault: when it began, how long it lasted, how long after its end everything flowed again. In seconds."""

    kind: str
    at: float
    lasted: float = 0.0
    recovered: float = 0.0
    last: str = ""  # what flowed again last


class Trial:
    """A fire, and what can be done to it.

    Args:
        fire: lit, with nothing running.
        hold: seconds that a fault lasts which does not end by itself.
        tell: hears of each fault when it strikes, and again when the bus has recovered.
    """

    def __init__(self, fire: Fire, hold: float, tell: Callable[[Struck], None] = lambda struck: None) -> None:
        self.fire = fire
        self.hold = hold
        self.struck: list[Struck] = []
        self.sent_on: Counter[str] = Counter()  # by a person, by what it had been parked for
        self.random = fire.random
        self._tell = tell
        self._began = time.monotonic()
        self._helper = BusProcess(fire.root, fire.log, fire.tables.environment)
        self._ended = threading.Event()
        self._clockwork = threading.Thread(target=self._time_passes, daemon=True)

    # --- what happens ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start everything."""
        self.start()
        self._clockwork.start()
        for feed in self.fire.feeds:
            feed.start()
        self.fire.wait_until(self._flows_since({}), "everything flows", PATIENCE)

    def start(self, crash_at: str = "") -> None:
        """All processes."""
        self.fire.bus.start(crash_at=crash_at)
        self._helper.start("--role", "bus")

    def strike(self, kind: str, fault: AbstractContextManager[None], lasts: bool) -> Struck:
        """One fault, from its beginning until everything flows again."""
        struck = Struck(kind=kind, at=round(time.monotonic() - self._began, 1))
        self.struck.append(struck)
        self._tell(struck)
        began = time.monotonic()
        with fault:
            if lasts:
                time.sleep(self.hold)
        ended, marks = time.monotonic(), self._marks()
        while still := [path for path, count in self._marks().items() if count <= marks[path]]:
            struck.last = still[0]
            if time.monotonic() > ended + PATIENCE:
                raise AssertionError(f"{still} never flowed again after {kind}\n{self.fire.said()}")
            time.sleep(0.02)
        struck.lasted = round(ended - began, 1)
        struck.recovered = round(time.monotonic() - ended, 2)
        self._tell(struck)
        return struck

    def through(self) -> int:
        """Messages that had their effects."""
        effects = self.fire.effects
        return self.fire.told() + self.fire.sagas_over() + len(effects["/order"])

    def finish(self) -> Verdict:
        """No more is fed; what people have to do is done, until nothing moves; then judge."""
        for feed in self.fire.feeds:
            feed.stop()
        self.end_schedule()
        self._rest("everything comes to rest", 2 * PATIENCE)
        while self.send_on(self._to_send_on()) or self.retry_sagas():
            self._rest("what was sent on comes to rest", PATIENCE)
        self._ended.set()
        return judge(self.fire.debts(), self.fire.parked(), self.fire.ledger(), self.fire.accepted)

    # --- what can be done -----------------------------------------------------------------------------------------

    def restart(self, crash_at: str = "") -> None:
        """SIGKILL for all processes, and all of them anew."""
        self.fire.bus.kill()
        self._helper.kill()
        self.fire.may_doubt(*UNKEYED, times=2)
        self.start(crash_at)

    def kill(self, role: str) -> None:
        """SIGKILL for one role (its supervisor starts it again), the supervisor, or the process beside it."""
        if role in ("bus", "supervisor", "helper"):
            self.fire.may_doubt(*UNKEYED)
        if role == "helper":
            self._helper.kill()
            self._helper.start("--role", "bus")
        elif role == "supervisor":
            send(self.fire.bus.pids[role], signal.SIGKILL)
            self.fire.bus.dies_within(10)
            self.fire.bus.start()
        else:
            send(self.pid(role), signal.SIGKILL)

    def pid(self, role: str) -> int:
        """Of a role that the supervisor looks after; waits while it is being started."""
        self.fire.wait_until(lambda: role in self.fire.bus.pids, f"there is a role {role}", PATIENCE)
        return self.fire.bus.pids[role]

    def all_pids(self) -> list[int]:
        """Of every process of the bus."""
        return list(self.pids().values())

    def pids(self) -> dict[str, int]:
        """Every process of the bus by its role; ``helper`` is the one beside the others."""
        return {**self.fire.bus.pids, **{"helper": pid for pid in self._helper.pids.values()}}

    def send_on(self, rows: Sequence[Parked]) -> int:
        """As a person would: what was parked goes on; how many those were. Large numbers are a replay."""
        if rows:
            with self.fire.store.transaction() as t:
                t.replays.start([row.key for row in rows], "operator", "the fault is over")
            self.sent_on.update(row.kind for row in rows)
        return len(rows)

    def retry_sagas(self) -> int:
        """As a person would: sagas whose recovery a long fault has used up go on; how many those were."""
        with self.fire.store.reading() as t:
            stuck = t.sagas.search(status=("stuck",))
        if stuck:
            definition = load(self.fire.root, discover(), environ=os.environ | self.fire.tables.environment)
            with closing(Bus(definition, discover())) as bus:
                for row in stuck:
                    act(bus.context, row.id, "retry", "operator", "the fault is over")
        self.sent_on.update({"stuck saga": len(stuck)})
        return len(stuck)

    def parked_at(self, endpoint: str) -> list[Parked]:
        """What waits for a person there."""
        return [row for row in self.fire.parked() if row.place == f"out:{endpoint}"]

    def close(self) -> None:
        """Stop what this trial started."""
        self._ended.set()
        self._helper.stop()

    # --- watching -------------------------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """What nobody foresaw: errors in the log, deaths that nobody brought about, processes that are gone."""
        lines = list(_lines(self.fire.log.read_text()))
        errors = [str(line)[:2000] for line in lines if line.get("level") == "error" and "library" not in line]
        deaths = [line for line in lines if line.get("event") == "role died" and line["ended"] != "SIGKILL"]
        gone = [] if len(self.all_pids()) >= 5 else [f"of all processes only {len(self.all_pids())} run"]
        return [*errors, *(f"role {line['role']} ended with {line['ended']}" for line in deaths), *gone]

    def _marks(self) -> dict[str, int]:
        return {path: len(self.fire.effects[path]) for path in WATCHED}

    def _flows_since(self, marks: dict[str, int]) -> Callable[[], bool]:
        return lambda: all(count > marks.get(path, 0) for path, count in self._marks().items())

    def end_schedule(self) -> None:
        """No more moments: on a busy machine one would always be under way, and nothing ever at rest."""
        far = time.time() + 1000 * HOUR
        with self.fire.store.transaction() as t:
            t.connection.run("UPDATE schedules SET sent = ?, done = ? WHERE name = 'flow:ticks'", (far, far))

    def _rest(self, what: str, limit: float) -> None:
        try:
            self.fire.wait_until(lambda: not self._unrest(), what, limit)
        except AssertionError as error:
            raise AssertionError(f"{error}\nstill: {', '.join(self._unrest())}") from error

    def _unrest(self) -> list[str]:
        """What goes on by itself; a flow whose call is in doubt waits for a person."""
        fire = self.fire
        ledger = fire.ledger()
        waiting = {row.message.correlation_id for row in self.parked_at("oracle")}
        with fire.store.reading() as t:
            leaving, replays = t.outbox.count(), len(t.replays.open())
        found = {
            "rows that are not taken": not fire.tables.taken(),
            "retries": ledger.retrying,
            "sends": ledger.in_flight,
            "sagas": ledger.sagas.keys() & {"running", "compensating"},
            "the outbox": leaving,
            "replays": replays,
            "flows": ledger.in_progress > len(waiting),
            f"what was not accepted ({ledger.accepted} of {fire.accepted})": ledger.accepted < fire.accepted,
        }
        return [name for name, goes_on in found.items() if goes_on] or self._owing(ledger)

    def _owing(self, ledger: Ledger) -> list[str]:
        """Effects that are still to come, unless it is a person's turn."""
        if self._to_send_on() or ledger.sagas.get("stuck"):
            return []
        return [f"effects: {name} of {numbers[:5]}" for name, numbers in self.fire.owing().items()]

    def _to_send_on(self) -> list[Parked]:
        """Parked for a reason that is over."""
        return [row for row in self.fire.parked() if row.kind == "routing" or row.place == "out:picky"]

    def _time_passes(self) -> None:
        """What should wait for hours waits for a second or two."""
        while not self._ended.wait(1.0):
            with suppress(StoreDown, StoreError), self.fire.store.transaction() as t:
                t.connection.run("UPDATE timers SET due_at = due_at - ? WHERE due_at > ?", (2 * HOUR, time.time()))


def _lines(log: str) -> Iterator[dict[str, Any]]:
    """What can be read of it: where the disk was full, lines are cut."""
    for line in log.splitlines():
        with suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                yield found
