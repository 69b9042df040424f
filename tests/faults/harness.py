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
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from esb.store import Ledger, Parked, open_store
from tests.faults.directory import CONCURRENCY, write_bus
from tests.faults.recorder import DECLINED, Recorder
from tests.faults.tables import Tables

BATCH = 40  # messages a file
ROWS = 10  # rows beside each file
UNDER_WAY = 400  # messages that the feed keeps under way
SOLD = 40  # rows that it keeps under way


class Feed(threading.Thread):
    """Drops files of numbered messages, by rename, and rows, and keeps some under way until it is told to stop."""

    def __init__(self, inbox: Path, tables: Tables, done: Callable[[], int], over: Callable[[], int]) -> None:
        """Args: where to put files and rows; how many messages of files are through, how many of rows."""
        super().__init__(daemon=True)
        self.fed = self.sold = 0
        self._inbox = inbox
        self._tables = tables
        self._done, self._over = done, over
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            if self.fed - self._done() < UNDER_WAY:
                self.drop(BATCH)
            if self.sold - self._over() < SOLD:
                self.sell(ROWS)
            self._stopped.wait(0.05)

    def drop(self, count: int) -> None:
        lines = "".join(json.dumps({"n": n}) + "\n" for n in range(self.fed, self.fed + count))
        hidden = self._inbox / f".{self.fed}.tmp"
        hidden.write_text(lines)
        hidden.rename(self._inbox / f"{self.fed:08}.jsonl")
        self.fed += count

    def sell(self, count: int) -> None:
        """Rows in the same way; while their database is away, there are none."""
        if self._tables.sell(range(self.sold, self.sold + count)):
            self.sold += count

    def stop(self) -> None:
        self._stopped.set()
        self.join()


class BusProcess:
    """`esb run` in a directory, or one role of it, as processes that may be killed."""

    def __init__(self, root: Path, log: Path, environment: Mapping[str, str]) -> None:
        self._root = root
        self._log = log.open("ab")
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, crash_at: str = "") -> None:
        """With no arguments: everything, under its supervisor."""
        command = [sys.executable, "-m", "esb.cli", "run", "-C", str(self._root), *arguments]
        once = str(self._root / f"crashed at {crash_at}") if not arguments else ""
        environment = {**self._environment, "ESB_CRASH_AT": crash_at, "ESB_CRASH_ONCE": once}
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
        """SIGKILL: the process, and the roles that it started, at once."""
        assert self._process is not None
        pids = [self._process.pid, *_children(self._process.pid)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        while any(_runs(pid) for pid in pids):
            time.sleep(0.01)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(40)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _runs(pid: int) -> bool:
    """A zombie holds nothing any more; somebody else buries it."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


class Fire:
    """Everything of one ledger test."""

    def __init__(self, root: Path, broker: str, database: str, tables: Tables, seed: int) -> None:
        self.root = root
        self.random = random.Random(seed)
        self.recorder = Recorder()
        self.tables = tables
        write_bus(root, broker, database, self.recorder.url)
        self.store = open_store(database, root / "data")
        self.store.migrate()
        self.bus = BusProcess(root, root / "bus.log", tables.environment)
        self.effects = self.recorder.effects
        self.feed = Feed(root / "inbox", tables, self.through, self.sagas_over)
        self.kills = 0  # of the bus
        self.table_kills = 0  # of the database with the tables

    def crash_at(self, point: str) -> None:
        """Start the bus and let it come by ``point`` a few times before it dies there."""
        self.bus.start("--role", "bus", crash_at=f"{point}#{self.random.randint(1, 8)}")
        if not self.bus.dies_within(60):
            raise AssertionError(f"the bus never came by {point!r}")
        self.kills += 1

    def kill_everything(self, point: str) -> None:
        """Start all roles; one of them dies at ``point`` and is started again; later the supervisor dies with all."""
        self.kill_at_random(crash_at=point)
        self.kills += 1

    def kill_at_random(self, *arguments: str, crash_at: str = "") -> None:
        """Start the bus (all of it, if nothing is said) and kill it some moment after it has begun to work.

        Not before it is through with what the deaths before left behind: a message that is under way at three deaths
        is rightly taken for what brings them about.
        """
        before, ticks = self.done(), self.effects["/tick"].total()
        self.bus.start(*arguments, crash_at=crash_at)
        self.wait_until(lambda: self.done() > before, "the bus does some work", 60)
        if crash_at:
            self.wait_until((self.root / f"crashed at {crash_at}").exists, f"a role comes by {crash_at!r}", 60)
        if not arguments:
            self.wait_until(lambda: self.effects["/tick"].total() > ticks + 1, "the schedule goes on", 60)
        self.wait_until(lambda: not self._suspects(), "nobody is suspected any more", 60)
        time.sleep(self.random.random() * 0.5)
        self.bus.kill()
        self.kills += 1

    def _suspects(self) -> int:
        with self.store.reading() as t:
            return t.connection.rows("SELECT count(*) FROM suspects")[0][0]

    def some_more(self, effects: int = 300) -> None:
        """Wait until this many more effects have been recorded."""
        before = self.done()
        self.wait_until(lambda: self.done() >= before + effects, f"{effects} more effects", 60)

    def done(self) -> int:
        """Effects until now, and tries at them."""
        return sum(counts.total() for counts in list(self.effects.values())) + self.recorder.repeats

    def through(self) -> int:
        """Messages of files that had all their effects."""
        return min(len(self.effects["/keyed"]), len(self.effects["/event"]))

    def sagas_over(self) -> int:
        """Sagas that came to their end, one way or the other."""
        return len(self.effects["/ship"]) + len(self.effects["/release"])

    def settle(self, limit: float = 120.0) -> Ledger:
        """Stop feeding, wait until nothing is under way, and read the ledger."""
        self.feed.stop()
        self.wait_until(self.tables.taken, "all rows are taken", limit)
        self.wait_until(lambda: self.ledger().accepted >= self.accepted and self._at_rest(), "it settles", limit)
        self.wait_until(lambda: len(self.effects["/event"]) >= self.feed.fed, "all events are told", limit)
        self.wait_until(lambda: self.sagas_over() >= self.feed.sold, "all sagas are over", limit)
        self.wait_until(self._at_rest, "it settles", limit)
        return self.ledger()

    def _at_rest(self) -> bool:
        """Nothing goes on by itself; a flow whose call is in doubt waits for a person."""
        ledger = self.ledger()
        moving = ledger.retrying or ledger.in_flight or ledger.sagas.keys() & {"running", "compensating"}
        return not moving and ledger.in_progress == len(self._subjects("oracle"))

    @property
    def accepted(self) -> int:
        return self.feed.fed + self.feed.sold + len(self.effects["/tick"])

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
        assert [p for p in self.parked() if p.kind != "in doubt"] == []
        waiting = self._subjects("oracle")
        assert ledger.accepted == ledger.completed + len(waiting) == self.accepted
        fed, sold = range(self.feed.fed), range(self.feed.sold)
        assert self.effects["/keyed"] == self.effects["/event"] == Counter(fed)
        assert self.tables.booked == Counter(sold)
        declined = Counter(range(0, self.feed.sold, DECLINED))
        assert self.effects["/reserve"] == self.effects["/charge"] == Counter(sold)
        assert self.effects["/release"] == self.effects["/refund"] == declined
        assert self.effects["/ship"] == Counter(sold) - declined
        assert ledger.sagas == {"completed": len(sold) - len(declined), "compensated": len(declined)}
        assert set(self.effects["/tick"].values()) <= {1}
        doubtful = self._in_doubt("oracle", sold, self.effects["/unkeyed/ask"], self.kills)
        assert self.effects["/ask"] == Counter(sold)
        assert self.effects["/answered"] == Counter(sold) - Counter(waiting)
        doubtful += self._in_doubt("blunt", fed, self.effects["/unkeyed"], self.kills)
        doubtful += self._in_doubt("notes", sold, self.tables.noted, self.kills + self.table_kills)
        assert ledger.in_doubt == doubtful
        assert ledger.rejected == len(declined)
        assert ledger.sent == ledger.done + ledger.compensated + ledger.rejected + ledger.in_doubt

    def _in_doubt(self, endpoint: str, numbers: range, effects: Counter[int], kills: int) -> int:
        """Without a key, an effect happened once, or is listed as in doubt: as many as could be under way."""
        doubtful = self._subjects(endpoint)
        assert [n for n in numbers if effects[n] > 1] == []
        assert [n for n in numbers if effects[n] == 0 and n not in doubtful] == []
        assert len(doubtful) <= CONCURRENCY * kills
        return len(doubtful)

    def _subjects(self, endpoint: str) -> set[int]:
        return {int(p.message.subject or -1) for p in self.parked() if p.place == f"out:{endpoint}"}

    def close(self) -> None:
        self.feed.stop() if self.feed.is_alive() else None
        self.bus.stop()
        self.store.close()
        self.recorder.stop()
