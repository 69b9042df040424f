"""Numbered messages for the bus under fire, from everywhere: files, rows of a table, HTTP requests."""

from __future__ import annotations

import http.client
import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.faults.tables import Tables

PATIENCE = 20.0  # seconds that a customer waits for an answer


class Feed(threading.Thread, ABC):
    """Keeps some messages under way, or sends so many a second, until it is told to stop; each has the next number.

    ``fed``: how many the bus has been given, and must not lose. ``given``: when, each of them (monotonic).
    """

    batch = 1

    def __init__(self, under_way: int, through: Callable[[], int]) -> None:
        """Args: how many to keep under way; how many are through."""
        super().__init__(daemon=True)
        self.batch = min(self.batch, under_way)
        self.fed = 0
        self.given: list[float] = []
        self._pace = 0.0  # messages a second
        self._from = (0.0, 0)  # when it was set, and how many had been fed
        self._under_way = under_way
        self._through = through
        self._stopped = threading.Event()

    @abstractmethod
    def give(self, numbers: range) -> bool:
        """Give these to the bus; False if they could not be given, and come again."""

    def run(self) -> None:
        while not self._stopped.is_set():
            some, now = range(self.fed, self.fed + self.batch), time.monotonic()
            if self._may_give(now) and self.give(some):
                self.given += [now] * len(some)
                self.fed = some.stop
            else:
                self._stopped.wait(0.02 if self._pace else 0.05)

    def keep_pace(self, rate: float) -> None:
        """From now on so many a second, however many are under way; what could not be given is made up for."""
        self.batch = max(min(self.batch, round(rate / 5)), 1)  # five times a second, not all of them at once
        self._pace, self._from = rate, (time.monotonic(), self.fed)

    def _may_give(self, now: float) -> bool:
        if self._pace:
            began, fed = self._from
            return self.fed - fed < (now - began) * self._pace
        return self.fed - self._through() < self._under_way

    def stop(self) -> None:
        """No more; what is being given is finished."""
        self._stopped.set()
        if self.is_alive():
            self.join()


class Files(Feed):
    """Files of numbers, by rename."""

    batch = 40

    def __init__(self, inbox: Path, under_way: int, through: Callable[[], int]) -> None:
        super().__init__(under_way, through)
        self._inbox = inbox

    def give(self, numbers: range) -> bool:
        hidden = self._inbox / f".{numbers.start}.tmp"
        hidden.write_text("".join(json.dumps({"n": n}) + "\n" for n in numbers))
        hidden.rename(self._inbox / f"{numbers.start:08}.jsonl")
        return True


class Rows(Feed):
    """Rows of a table; while their database is away, there are none."""

    batch = 10

    def __init__(self, tables: Tables, under_way: int, through: Callable[[], int]) -> None:
        super().__init__(under_way, through)
        self._tables = tables

    def give(self, numbers: range) -> bool:
        return self._tables.sell(numbers)


class Orders(Feed):
    """Requests, one after the other, each with a key of its own: repeated until the bus says that it has it."""

    def __init__(self, port: int, under_way: int, through: Callable[[], int]) -> None:
        super().__init__(under_way, through)
        self.repeats = 0  # requests that had to be sent again
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def give(self, numbers: range) -> bool:
        headers = {"Content-Type": "application/json", "Idempotency-Key": f'"order-{numbers.start}"'}
        with suppress(OSError, http.client.HTTPException):
            connection = self._connection or http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
            self._connection = None
            connection.request("POST", "/shop", json.dumps({"n": numbers.start}), headers)
            answer = connection.getresponse()
            answer.read()
            self._connection = connection
            if answer.status == 202:
                return True
        self.repeats += 1
        return False
