"""One thread a process: hears what other processes wrote, shows that this one runs, takes back what the dead held."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from esb.broker.embedded.inotify import Source
from esb.broker.embedded.owners import Owner, Reaper
from esb.errors import BrokerError

_ROUND = 5.0  # seconds between two looks at all owners; a death is heard of at once


class Bells:
    """Wakes who waits for a queue: directly within this process, by a byte to the queue's wake file elsewhere.

    A file for each queue, so that a commit wakes nobody who waits for another.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[int, int] = {}
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[threading.Event, ...]] = {}

    def ring(self, queues: Iterable[int]) -> None:
        """Something was committed to these queues. Never fails: who misses a bell looks within half a second."""
        for queue in queues:
            self.ring_here(queue)
            try:
                os.pwrite(self._file(queue), b"\n", 0)
            except OSError:
                continue

    def ring_here(self, queue: int) -> None:
        """Wake who waits in this process."""
        for event in self._waiting.get(queue, ()):
            event.set()

    def ring_all_here(self) -> None:
        """Wake everybody in this process."""
        for queue in tuple(self._waiting):
            self.ring_here(queue)

    def path(self, queue: int) -> Path:
        """The wake file of a queue, made if need be."""
        self._file(queue)
        return self._directory / str(queue)

    def join(self, queue: int, event: threading.Event) -> None:
        """Set an event whenever the queue's bell rings."""
        with self._lock:
            self._waiting[queue] = (*self._waiting.get(queue, ()), event)

    def leave(self, queue: int, event: threading.Event) -> None:
        """The reverse of :meth:`join`."""
        with self._lock:
            self._waiting[queue] = tuple(other for other in self._waiting.get(queue, ()) if other is not event)

    def close(self) -> None:
        """Close the wake files; they stay, others watch them."""
        with self._lock:
            while self._files:
                os.close(self._files.popitem()[1])

    def _file(self, queue: int) -> int:
        file = self._files.get(queue)
        if file is None:
            with self._lock:
                if queue not in self._files:
                    self._files[queue] = os.open(self._directory / str(queue), os.O_WRONLY | os.O_CREAT, 0o600)
                file = self._files[queue]
        return file


class Watch:
    """The thread. Starts with the first consumer, ends with ``close``."""

    def __init__(self, source: Source, bells: Bells, reaper: Reaper, owners: Path, beat: float) -> None:
        self._source = source
        self._bells = bells
        self._reaper = reaper
        self._beat = min(beat, _ROUND)
        self._queues: dict[int, int] = {}
        self._owners: tuple[Owner, ...] = ()
        self._lock = threading.Lock()
        self._graveyard = source.add(owners)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="esb-broker-watch", daemon=True)
        self._thread.start()

    def join(self, owner: Owner, queues: Iterable[int], event: threading.Event) -> None:
        """Let a consumer hear of its queues, and keep its owner alive."""
        for queue in queues:
            self._bells.join(queue, event)
            self._queues[self._source.add(self._bells.path(queue))] = queue
        with self._lock:
            self._owners = (*self._owners, owner)

    def leave(self, owner: Owner, queues: Iterable[int], event: threading.Event) -> None:
        """The reverse of :meth:`join`."""
        for queue in queues:
            self._bells.leave(queue, event)
        with self._lock:
            self._owners = tuple(other for other in self._owners if other is not owner)

    def close(self) -> None:
        """End the thread."""
        self._stopped = True
        self._source.interrupt()
        self._thread.join()
        self._source.close()

    def _run(self) -> None:
        due = 0.0
        while not self._stopped:
            try:
                changed = self._source.wait(max(0.0, due - time.monotonic()))
                self._pass_on(changed)
                if changed is None or self._graveyard in changed or time.monotonic() >= due:
                    due = time.monotonic() + self._beat
                    self._look_after_owners()
            except (BrokerError, OSError) as error:
                # The consumers meet the same trouble and tell; this thread must outlive it.
                logging.getLogger(__name__).warning("the embedded broker's watch: %s", error)
                time.sleep(0.5)

    def _pass_on(self, changed: set[int] | None) -> None:
        if changed is None:
            self._bells.ring_all_here()
            return
        for key in changed:
            if key in self._queues:
                self._bells.ring_here(self._queues[key])

    def _look_after_owners(self) -> None:
        for owner in self._owners:
            owner.beat()
        self._bells.ring(self._reaper.reap())
