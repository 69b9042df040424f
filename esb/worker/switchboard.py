"""What people have set, as one worker sees it: the store is asked at most once a second, and read when it changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from esb.errors import StoreDown
from esb.flow.switches import NOTHING_SET, Rate, Switches
from esb.store import Store, Switch

READ_EVERY = 1.0  # seconds


class Switchboard:
    """While the store is down, what it said last holds. Used by one thread."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._revision = -1
        self._read_at = 0.0
        self._known = NOTHING_SET

    def now(self) -> Switches:
        """What holds."""
        now = self._clock()
        if not 0 <= now - self._read_at < READ_EVERY:
            self._read_at = now
            self._refresh()
        return self._known

    def _refresh(self) -> None:
        try:
            with self._store.reading() as t:
                revision = t.switches.revision()
                if revision != self._revision:
                    self._known, self._revision = switches_of(t.switches.all()), revision
        except StoreDown:
            pass


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
