"""The ledger under fire: a bus in a directory, a feed of numbered messages, and processes to kill."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from esb.store import Ledger, Parked, open_store
from tests.faults.recorder import Recorder

CONCURRENCY = 4
BATCH = 40  # messages a file
UNDER_WAY = 400  # messages that the feed keeps under way

FILES = {
    "esb.yaml": """
bus: ledger
broker: "{broker}"
database: "{database}"
worker: {{batch: 50, prefetch: 150, lease: 3s}}
recovery: {{retries: 1, delays: [500ms, 1s, 2s], breaker: {{failures: 5, reset: 500ms}}}}
""",
    "endpoints/feed.yaml": """
endpoint: feed
adapter: file
settings: {{directory: inbox, pattern: "*.jsonl", ready: rename}}
format: {{json: {{records: lines}}}}
receive: {{contract: numbered/v1, poll: 100ms}}
""",
    "endpoints/recorder.yaml": """
endpoint: recorder
adapter: http
settings: {{url: "{url}"}}
concurrency: {concurrency}
timeout: 10s
operations:
  keyed: {{post: /keyed, contract: counted/v1, effect: keyed}}
  event: {{post: /event, contract: counted/v1, effect: keyed}}
---
endpoint: blunt
adapter: http
settings: {{url: "{url}"}}
concurrency: {concurrency}
timeout: 10s
operations:
  unkeyed: {{post: /unkeyed, contract: counted/v1, effect: unkeyed, idempotency_header: null}}
""",
    "flows/count.yaml": """
flow: count
from: feed
steps:
  - map: {{to: counted/v1, set: {{number: n, label: '"no " & $string(n)'}}}}
  - send: recorder.keyed
  - send: blunt.unkeyed
  - publish: counted/v1
---
flow: told
from: counted/v1
steps:
  - send: recorder.event
""",
    "contracts/numbered/v1.json": json.dumps(
        {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "x-subject": "$string(n)"}
    ).replace("{", "{{").replace("}", "}}"),
    "contracts/counted/v1.json": json.dumps(
        {
            "type": "object",
            "properties": {"number": {"type": "integer"}, "label": {"type": "string"}},
            "required": ["number"],
            "x-subject": "$string(number)",
        }
    ).replace("{", "{{").replace("}", "}}"),
}  # fmt: skip


def write_bus(root: Path, broker: str, database: str, url: str) -> None:
    """The directory of the bus under fire."""
    for name, text in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.format(broker=broker, database=database, url=url, concurrency=CONCURRENCY))
    (root / "inbox").mkdir()


class Feed(threading.Thread):
    """Drops files of numbered messages, by rename, and keeps some under way until it is told to stop."""

    def __init__(self, inbox: Path, done: Callable[[], int]) -> None:
        super().__init__(daemon=True)
        self.fed = 0
        self._inbox = inbox
        self._done = done
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            if self.fed - self._done() < UNDER_WAY:
                self.drop(BATCH)
            self._stopped.wait(0.05)

    def drop(self, count: int) -> None:
        lines = "".join(json.dumps({"n": n}) + "\n" for n in range(self.fed, self.fed + count))
        hidden = self._inbox / f".{self.fed}.tmp"
        hidden.write_text(lines)
        hidden.rename(self._inbox / f"{self.fed:08}.jsonl")
        self.fed += count

    def stop(self) -> None:
        self._stopped.set()
        self.join()


class BusProcess:
    """The bus role of a directory, as a process of its own that may be killed."""

    def __init__(self, root: Path, log: Path) -> None:
        self._root = root
        self._log = log.open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, crash_at: str = "") -> None:
        environment: Mapping[str, str] = {**os.environ, "ESB_CRASH_AT": crash_at}
        command = [sys.executable, "-m", "esb.cli", "run", "--role", "bus", "-C", str(self._root)]
        self._process = subprocess.Popen(command, env=environment, stdout=self._log, stderr=self._log)

    def dies_within(self, seconds: float) -> bool:
        """Did it end (by a crash at a point) in time?"""
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(40)


class Fire:
    """Everything of one ledger test."""

    def __init__(self, root: Path, broker: str, database: str, seed: int) -> None:
        self.root = root
        self.random = random.Random(seed)
        self.recorder = Recorder()
        write_bus(root, broker, database, self.recorder.url)
        self.store = open_store(database, root / "data")
        self.store.migrate()
        self.bus = BusProcess(root, root / "bus.log")
        self.feed = Feed(root / "inbox", lambda: min(len(self.recorder.keyed), len(self.recorder.events)))
        self.kills = 0

    def crash_at(self, point: str) -> None:
        """Start the bus and let it come by ``point`` a few times before it dies there."""
        self.bus.start(f"{point}#{self.random.randint(1, 8)}")
        if not self.bus.dies_within(20):
            raise AssertionError(f"the bus never came by {point!r}")
        self.kills += 1

    def kill_at_random(self) -> None:
        """Start the bus and kill it some moment after it has begun to work."""
        before = self.done()
        self.bus.start()
        self.wait_until(lambda: self.done() > before, "the bus does some work", 20)
        time.sleep(self.random.random() * 0.5)
        self.bus.kill()
        self.kills += 1

    def some_more(self, effects: int = 300) -> None:
        """Wait until this many more effects have been recorded."""
        before = self.done()
        self.wait_until(lambda: self.done() >= before + effects, f"{effects} more effects", 60)

    def done(self) -> int:
        return sum(self.recorder.keyed.values()) + self.recorder.repeats + sum(self.recorder.unkeyed.values())

    def settle(self, limit: float = 60.0) -> Ledger:
        """Stop feeding, wait until nothing is under way, and read the ledger."""
        self.feed.stop()
        self.wait_until(lambda: self.ledger().accepted >= self.feed.fed and self.ledger().settled, "it settles", limit)
        self.wait_until(lambda: len(self.recorder.events) >= self.feed.fed, "all events are told", limit)
        self.wait_until(lambda: self.ledger().settled, "it settles", limit)
        return self.ledger()

    def ledger(self) -> Ledger:
        with self.store.reading() as t:
            return t.tracking.ledger()

    def parked(self) -> list[Parked]:
        with self.store.reading() as t:
            return t.parked.list(limit=100_000)

    def wait_until(self, condition, what: str, limit: float) -> None:
        deadline = time.monotonic() + limit
        while not condition():
            if time.monotonic() > deadline:
                log = "\n".join(line[:600] for line in (self.root / "bus.log").read_text().splitlines()[-20:])
                raise AssertionError(f"never came true: {what}\n{self.ledger()}\n{log}")
            time.sleep(0.05)

    def verdict(self) -> None:
        """Nothing lost, nothing doubled, in doubt within bounds and listed, no innocent parked."""
        ledger = self.settle()
        numbers = range(self.feed.fed)
        doubtful = {int(p.message.subject or -1) for p in self.parked() if p.kind == "in doubt"}
        assert [p for p in self.parked() if p.kind != "in doubt"] == []
        assert ledger.accepted == ledger.completed == self.feed.fed
        assert [n for n in numbers if self.recorder.keyed[n] != 1] == []
        assert [n for n in numbers if self.recorder.events[n] != 1] == []
        assert [n for n in numbers if self.recorder.unkeyed[n] > 1] == []
        assert [n for n in numbers if self.recorder.unkeyed[n] == 0 and n not in doubtful] == []
        assert ledger.in_doubt == len(doubtful) <= CONCURRENCY * self.kills
        assert ledger.sent == ledger.done + ledger.in_doubt

    def close(self) -> None:
        self.feed.stop() if self.feed.is_alive() else None
        self.bus.stop()
        self.store.close()
        self.recorder.stop()
