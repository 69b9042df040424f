"""The circuit breaker of an endpoint, shared by all workers through the store (Nygard, *Release It!*).

Closed counts failures in a row. Open lets nothing through until ``reset`` seconds have passed; then one worker, and
only one, wins the right to probe. The row is changed by compare-and-set and read with the notices of the process;
without the store each worker goes by what it saw itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import msgspec

from esb.errors import StoreDown
from esb.store import BreakerRow as Row
from esb.worker.context import Context


class Policy(Protocol):
    """``recovery.breaker`` of an endpoint."""

    @property
    def failures(self) -> int: ...
    @property
    def reset(self) -> float: ...


State = Literal["closed", "open", "probing"]
PROBE_LIMIT = 60.0  # seconds after which another worker may take over a probe whose owner fell silent
APART = 60.0  # seconds by which clocks of machines may differ: a moment further ahead is of before ours was set back


def after_failure(row: Row, limit: int, now: float) -> Row:
    """One more failure in a row: it may open the breaker, and ends a probe at once."""
    failures = row.failures + 1
    if row.state == "probing" or (row.state == "closed" and failures >= limit):
        return _changed(row, state="open", failures=failures, opened_at=now, probe_owner="")
    return _changed(row, failures=failures)


def after_success(row: Row) -> Row:
    """It works: closed, and forgotten what was."""
    return _changed(row, state="closed", failures=0, opened_at=0.0, probe_at=0.0, probe_owner="")


def may_probe(row: Row, reset: float, now: float) -> bool:
    """Has it been open long enough, or has the last probe gone silent?"""
    if row.state == "open":
        return _is_over(row.opened_at, reset, now)
    return row.state == "probing" and _is_over(row.probe_at, PROBE_LIMIT, now)


def probing(row: Row, owner: str, now: float) -> Row:
    """One worker's turn to try."""
    return _changed(row, state="probing", probe_at=now, probe_owner=owner)


class Breaker:
    """One endpoint's breaker as this worker sees it. Used by one thread."""

    def __init__(self, endpoint: str, policy: Policy, context: Context) -> None:
        self._policy = policy
        self._store = context.store
        self._board = context.board
        self._owner = context.owner
        self._clock = context.clock
        self._row = Row(endpoint=endpoint)
        self._known_at = 0.0  # by the monotonic clock: older notices say nothing new

    def state(self) -> State:
        """``closed``, ``open``, or ``probing`` (by whomever)."""
        self._refresh()
        return self._row.state

    def peek(self) -> State:
        """The state as last read. Safe from any thread."""
        return self._row.state

    def mine(self) -> bool:
        """Is the probe under way this worker's?"""
        return self._row.state == "probing" and self._row.probe_owner == self._owner

    def wins_probe(self) -> bool:
        """Is it this worker's turn to probe now? At most one worker hears yes per interval."""
        self._refresh()
        now = self._clock()
        if not may_probe(self._row, self._policy.reset, now):
            return False
        return self._change(
            lambda row: probing(row, self._owner, now) if may_probe(row, self._policy.reset, now) else None
        )

    def failed(self) -> None:
        """An attempt met an endpoint failure."""
        self._change(lambda row: after_failure(row, self._policy.failures, self._clock()))

    def succeeded(self) -> None:
        """An attempt went through."""
        if self._row.failures or self._row.state != "closed":
            self._change(after_success)

    def _refresh(self) -> None:
        notice = self._board.now()
        if notice.asked_at > self._known_at:
            self._adopt(notice.breakers, notice.asked_at)

    def _read(self) -> None:
        asked_at = time.monotonic()
        try:
            with self._store.reading() as t:
                self._adopt(t.breakers.read_all(), asked_at)
        except StoreDown:
            pass  # what this process saw itself is the best there is

    def _adopt(self, rows: Mapping[str, Row], asked_at: float) -> None:
        self._row = rows.get(self._row.endpoint, Row(endpoint=self._row.endpoint))
        self._known_at = asked_at

    def _change(self, step: Callable[[Row], Row | None]) -> bool:
        """Compare-and-set, again from the fresh row when somebody else was quicker."""
        while (wanted := step(self._row)) is not None:
            try:
                with self._store.transaction() as t:
                    changed = t.breakers.change(wanted.endpoint, self._row.version, wanted)
            except StoreDown:
                changed = True
            if changed:
                self._row, self._known_at = wanted, time.monotonic()
                return True
            self._read()
        return False


def _is_over(since: float, seconds: float, now: float) -> bool:
    # Nobody can say how long ago it was by a clock that was set back. To probe too early costs one attempt; to wait
    # until the clock is there again costs all that waits behind the breaker.
    return now >= since + seconds or now < since - APART


def _changed(row: Row, **values: Any) -> Row:
    return msgspec.structs.replace(row, version=row.version + 1, **values)
