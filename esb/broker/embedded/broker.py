"""The broker without a server: queues in one SQLite file that any number of processes of one machine share."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path

from esb.broker.embedded import tables
from esb.broker.embedded.consumer import EmbeddedConsumer
from esb.broker.embedded.database import Database, Synchronous
from esb.broker.embedded.failures import translated
from esb.broker.embedded.inotify import source
from esb.broker.embedded.owners import Owner, Reaper
from esb.broker.embedded.routing import Router
from esb.broker.embedded.watch import Bells, Watch
from esb.broker.port import Depth, Outcome, Outgoing, Topology
from esb.errors import BrokerError


class EmbeddedPublisher:
    """See :class:`esb.broker.port.Publisher`. A batch is one transaction: all of it is known, or none of it is in."""

    def __init__(self, database: Database, bells: Bells) -> None:
        self._database = database
        self._bells = bells
        self._router = Router()

    def publish(self, batch: Iterable[Outgoing]) -> list[Outcome]:
        """One outcome per message, in order. Raises ``BrokerDown``, and then nothing of the batch was stored."""
        outgoing = list(batch)  # whatever it takes to compute them, nobody waits for the write lock meanwhile
        if not outgoing:
            return []
        with self._database.transaction("publish a batch") as sql:
            plan = self._router.plan(sql, outgoing)
            tables.insert(sql, plan.rows)
        self._bells.ring(plan.queues)
        return plan.outcomes

    def close(self) -> None:
        """Close the connection."""
        self._database.close()


class EmbeddedBroker:
    """See :class:`esb.broker.port.Broker`. Its own methods may be called from any thread.

    Args:
        data_dir: directory on a local disk; made if need be.
        synchronous: ``NORMAL``: whatever is killed, nothing is lost, but a power cut may take back the last moments.
            ``FULL``: each commit is on the disk.
        stuck_after: seconds after which a process that exists but does not run loses what it took.
    """

    def __init__(self, data_dir: Path | str, *, synchronous: Synchronous = "NORMAL", stuck_after: float = 60.0) -> None:
        self._root = Path(data_dir)
        self._path = self._root / "broker.db"
        self._synchronous: Synchronous = synchronous
        self._stuck_after = stuck_after
        with translated("make the data directory", self._path):
            for directory in (self._root / "owners", self._root / "wake"):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._bells = Bells(self._root / "wake")
        self._lock = threading.RLock()
        self._database = self._connect()
        self._router = Router()
        self._watch: Watch | None = None
        self._watched: Database | None = None
        self._consumers: weakref.WeakSet[EmbeddedConsumer] = weakref.WeakSet()
        self._closed = False
        _abandon_after_fork(self)

    def declare(self, topology: Topology) -> None:
        """Make sure all of it exists. Delays need nothing here: each message carries its own time."""
        with self._lock, self._database.transaction("declare queues") as sql:
            for name, pattern in topology.stale:
                tables.unbind(sql, name, pattern)
            for queue in topology.queues:
                id = tables.add_queue(sql, queue.name, queue.limit, queue.single)
                for pattern in queue.events:
                    tables.bind(sql, id, pattern)
            tables.topology_changed(sql)

    def publisher(self, name: str = "") -> EmbeddedPublisher:
        """A publisher with a connection of its own."""
        self._check_open()
        return EmbeddedPublisher(self._connect(), self._bells)

    def consumer(self, queues: Sequence[str], prefetch: int, name: str = "") -> EmbeddedConsumer:
        """A consumer with a connection and a lease of its own. Raises ``BrokerError`` if a queue does not exist."""
        self._check_open()
        ids = {self._queue(queue): queue for queue in queues}
        watch = self._watching()
        database = self._connect()
        owner = None
        try:
            with database.transaction("register a consumer") as sql:
                owner = Owner(sql, self._root / "owners", name)
            with translated("watch the queues", self._path):
                consumer = EmbeddedConsumer(database, owner, ids, prefetch, self._bells, watch)
        except BaseException:
            if owner is not None:
                owner.drop()  # without its lock it counts as dead, and is cleaned up
            database.close()
            raise
        self._consumers.add(consumer)
        _abandon_after_fork(consumer)
        return consumer

    def depths(self, queues: Sequence[str]) -> dict[str, Depth]:
        """Messages waiting and leased in each queue that exists; under ``delayed`` those of all queues."""
        now = time.time()
        with self._lock, self._database.reading("count messages") as sql:
            found = {name: self._router.queue(sql, name) for name in queues}
            depths = {name: Depth(*tables.depth(sql, id, now)) for name, id in found.items() if id is not None}
            return {**depths, "delayed": Depth(tables.delayed(sql, now), 0)}

    def bindings(self) -> list[tuple[str, str]]:
        """(pattern, queue) of every binding."""
        with self._lock, self._database.reading("read the bindings") as sql:
            names = {id: name for name, id, _ in tables.queues(sql)}
            return [(pattern, names[queue]) for pattern, queue in tables.bindings(sql)]

    def purge(self, queue: str) -> int:
        """Drop what waits in a queue; how many they were."""
        id = self._queue(queue)
        with self._lock, self._database.transaction(f"purge {queue}") as sql:
            return tables.purge(sql, id, time.time())

    def check(self) -> str:
        """A short sentence about the file and SQLite, or ``BrokerDown``."""
        with self._lock, self._database.reading("look at the database") as sql:
            count = len(tables.queues(sql))
        return f"embedded broker, {count} queues in {self._path}, SQLite {sqlite3.sqlite_version}"

    def hazard(self) -> str:
        """See :meth:`esb.broker.port.Broker.hazard`."""
        return ""

    def close(self) -> None:
        """Close everything made here; consumers still open put back what they hold."""
        if self._closed:
            return
        self._closed = True
        for consumer in tuple(self._consumers):
            consumer.close()
        if self._watch is not None:
            self._watch.close()
        if self._watched is not None:
            self._watched.close()
        self._bells.close()
        self._database.close()

    def abandon(self) -> None:
        """In a forked child: nothing of this broker may be used."""
        self._closed = True

    def _connect(self) -> Database:
        return Database(self._path, self._synchronous)

    def _queue(self, name: str) -> int:
        with self._lock, self._database.reading("look for a queue") as sql:
            id = self._router.queue(sql, name)
        if id is None:
            raise BrokerError(f"there is no queue {name} in {self._path}: declare the topology first")
        return id

    def _watching(self) -> Watch:
        with self._lock:
            if self._watch is None:
                self._watched = self._watched or self._connect()
                owners = self._root / "owners"
                reaper = Reaper(self._watched, owners, self._stuck_after)
                self._bells.ring(reaper.reap())
                self._watch = Watch(source(self._watched), self._bells, reaper, owners, self._stuck_after / 6)
            return self._watch

    def _check_open(self) -> None:
        if self._closed:
            raise BrokerError("this broker is closed (or came through a fork): open another")


def _abandon_after_fork(thing: EmbeddedBroker | EmbeddedConsumer) -> None:
    # A weak reference, since what is registered here stays registered for the life of the process.
    reference = weakref.ref(thing)

    def abandon() -> None:
        found = reference()
        if found is not None:
            found.abandon()

    os.register_at_fork(after_in_child=abandon)
