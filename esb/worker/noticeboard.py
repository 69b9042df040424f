"""What people and other processes have said that concerns every worker: pauses, breakers, switches.

One for a process, which asks the store at most once a second, whatever its number of workers: they would all ask the
same. While the store is down, what it said last holds.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from esb.errors import StoreDown
from esb.flow.switches import NOTHING_SET, Rate, Switches
from esb.store import BreakerRow, Store, Switch

READ_EVERY = 1.0  # seconds


class Notice(msgspec.Struct, frozen=True):
    """What held at a moment: paused endpoints, breakers by endpoint, what is set for flows."""

    asked_at: float = 0.0  # by the monotonic clock; what was committed before is in it
    paused: Collection[str] = ()
    breakers: Mapping[str, BreakerRow] = {}
    switches: Switches = NOTHING_SET


class Noticeboard:
    """Safe for any number of threads."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._reading = threading.Lock()
        self._revision = -1  # of the switches; -1: nothing has been read yet
        self._read_at = 0.0
        self._notice = Notice()

    def now(self) -> Notice:
        """What holds."""
        if not 0 <= self._clock() - self._read_at < READ_EVERY:
            self._take_turns()
        return self._notice

    def stale(self) -> None:
        """Ask the store at the next look."""
        self._read_at = 0.0

    def _take_turns(self) -> None:
        """One reads, and the others go by what is known. At the start they wait: nothing runs that is paused."""
        if self._reading.acquire(blocking=self._revision < 0):
            try:
                self._read()
            finally:
                self._reading.release()

    def _read(self) -> None:
        now = self._clock()
        if 0 <= now - self._read_at < READ_EVERY:
            return  # somebody was quicker
        asked_at = time.monotonic()
        try:
            with self._store.reading() as t:
                revision, switches = t.switches.revision(), self._notice.switches
                if revision != self._revision:
                    switches = switches_of(t.switches.all())
                self._notice = Notice(asked_at, t.pauses.names(), t.breakers.read_all(), switches)
                self._revision = revision
        except StoreDown:
            pass
        finally:
            self._read_at = now  # not before: who looks meanwhile, at the start, has to wait


def switches_of(rows: Sequence[Switch]) -> Switches:
    """Rows of the store as flows want them. A rate that cannot be read is none."""
    tables: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        if row.kind == "table":
            tables[row.name][row.key] = row.value
    rates = ((f"{row.name}/{row.key}", Rate.read(row.value)) for row in rows if row.kind == "throttle")
    return Switches(
        detours={f"{row.name}/{row.key}": row.value == "on" for row in rows if row.kind == "detour"},
        tables=tables,
        rates={step: rate for step, rate in rates if rate is not None},
        paused=frozenset(row.name for row in rows if row.kind == "flow"),
    )
