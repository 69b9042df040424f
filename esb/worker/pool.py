"""The threads on which an endpoint's messages are sent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol


class Threads(Protocol):
    """Something that does work, at once or when a thread is free."""

    def submit(self, work: Callable[[], None]) -> None:
        """Run ``work``, which must not raise, as soon as possible."""

    def close(self) -> None:
        """Nothing more comes."""


class Pool:
    """Up to ``size`` threads that run what they are given, started as they are needed.

    Not ``ThreadPoolExecutor``: its threads are waited for when the interpreter exits, so one adapter that hangs would
    keep a stopped process from ending.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, work: Callable[[], None]) -> None:
        """Run ``work``, which must not raise, as soon as a thread is free."""
        self._work.put(work)
        if len(self._threads) < self._size:
            name = f"{self._name} {len(self._threads) + 1}"
            self._threads.append(threading.Thread(target=self._serve, name=name, daemon=True))
            self._threads[-1].start()

    def close(self) -> None:
        """Let the threads end after what they are at, without waiting for them."""
        for _ in self._threads:
            self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()
