"""Where a message goes, decided before anything is written: rows for the table, and one outcome per message."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence

import msgspec

from esb.broker.embedded import tables
from esb.broker.port import Outcome, Outgoing
from esb.broker.topics import matches
from esb.message import pack

_KEYS_KEPT = 10_000  # routing keys whose queues are remembered; beyond it the memory starts afresh

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[str, str])


class Plan(msgspec.Struct):
    """What publishing a batch means: outcomes in its order, rows to insert, queues to wake."""

    outcomes: list[Outcome]
    rows: list[tables.Row]
    queues: set[int]


class Router:
    """Knows queues and bindings, and notices when another process changed them."""

    def __init__(self) -> None:
        self._version = -1
        self._queues: dict[str, int] = {}
        self._capacity: dict[int, int] = {}
        self._bindings: list[tuple[str, int]] = []
        self._events: dict[str, tuple[int, ...]] = {}

    def plan(self, sql: sqlite3.Connection, batch: Sequence[Outgoing]) -> Plan:
        """Decide for each message. Writes nothing; inside a transaction limits hold exactly, outside nearly.

        An event goes to all its queues or, when one of them is full, to none: so publishing it again doubles nothing.
        """
        self._refresh(sql)
        now = time.time()
        room: dict[int, int] = {}
        plan = Plan([], [], set())
        for outgoing in batch:
            targets = self._targets(outgoing)
            if not targets:
                plan.outcomes.append(Outcome.RETURNED)
            elif self._capacity and not self._fits(sql, targets, room):
                plan.outcomes.append(Outcome.REFUSED)
            else:
                plan.outcomes.append(Outcome.CONFIRMED)
                plan.queues.update(targets)
                plan.rows.extend(_rows(outgoing, targets, now))
        return plan

    def queue(self, sql: sqlite3.Connection, name: str) -> int | None:
        """The id of a queue."""
        self._refresh(sql)
        return self._queues.get(name)

    def _refresh(self, sql: sqlite3.Connection) -> None:
        version = tables.topology_version(sql)
        if version == self._version:
            return
        found = tables.queues(sql)
        self._queues = {name: id for name, id, _ in found}
        self._capacity = {id: capacity for _, id, capacity in found if capacity}
        self._bindings = tables.bindings(sql)
        self._events.clear()
        self._version = version

    def _targets(self, outgoing: Outgoing) -> tuple[int, ...]:
        if not outgoing.event:
            id = self._queues.get(outgoing.to)
            return () if id is None else (id,)
        targets = self._events.get(outgoing.to)
        if targets is None:
            if len(self._events) >= _KEYS_KEPT:
                self._events.clear()
            # A queue with two bindings that match gets the event once, as in AMQP.
            found = {queue: None for pattern, queue in self._bindings if matches(pattern, outgoing.to)}
            targets = self._events[outgoing.to] = tuple(found)
        return targets

    def _fits(self, sql: sqlite3.Connection, targets: tuple[int, ...], room: dict[int, int]) -> bool:
        limited = [queue for queue in targets if queue in self._capacity]
        for queue in limited:
            if queue not in room:
                capacity = self._capacity[queue]
                room[queue] = capacity - tables.waiting(sql, queue, capacity)
        if any(room[queue] <= 0 for queue in limited):
            return False
        for queue in limited:
            room[queue] -= 1
        return True


def properties(packed: bytes | None) -> Mapping[str, str]:
    """The bus's own headers of a stored message."""
    return {} if packed is None else _decoder.decode(packed)


def _rows(outgoing: Outgoing, targets: tuple[int, ...], now: float) -> list[tables.Row]:
    headers = _encoder.encode(outgoing.properties) if outgoing.properties else None
    message = pack(outgoing.message)
    if outgoing.delay > 0:
        return [(queue, tables.DELAYED, now + outgoing.delay, headers, message) for queue in targets]
    return [(queue, tables.READY, 0.0, headers, message) for queue in targets]
