"""A bus directory with a schedule, and processes of the jobs role on it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from esb.broker import open_broker
from esb.broker.port import Broker
from esb.bus import prepare
from esb.config import load
from esb.discovery import discover
from esb.store import ScheduleRow, Store, open_store
from tests.forks import Fork
from tests.references import references

PATIENCE = 40.0  # seconds

FILES = {
    "esb.yaml": 'bus: jobs\nbroker: "{broker}"\ndatabase: "{database}"\nworker: {{lease: 2s, drain: 5s}}\nprobe: 1s\n',
    "endpoints/out.yaml": "endpoint: out\nadapter: file\nsettings: {{directory: outbox}}\noperations: {{put: {{}}}}\n",
    "flows/tick.yaml": "flow: tick\nfrom: {{every: 1s}}\nsteps:\n  - send: out.put\n",
    "flows/report.yaml": 'flow: report\nfrom: {{schedule: "0 3 29 2 *"}}\nsteps:\n  - send: out.put\n',
}


class Place:
    """A directory, what is in its store and its queues, and its processes."""

    def __init__(self, root: Path, broker: str, database: str) -> None:
        self.root = root
        self._running: list[Fork] = []
        servers = references(root, broker, database)
        for name, text in FILES.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.format(**servers))
        self.definition = load(root, discover(), environ={})
        self.store: Store = open_store(database, root / "data")
        self.store.migrate()
        self.broker: Broker = open_broker(broker, root / "data")
        prepare(self.definition, self.store, self.broker)

    def start(self, crash_at: str = "", role: str = "jobs") -> Fork:
        """One process of a role."""
        command = ("run", "--role", role, "-C", self.root)
        self._running.append(Fork(*command, log=self.root / "log", env={"ESB_CRASH_AT": crash_at}))
        return self._running[-1]

    def stop(self) -> int:
        """Tell the process that was started last to stop; its exit code."""
        self._running[-1].send_signal(signal.SIGTERM)
        return self._running[-1].wait(30)

    def row(self, name: str) -> ScheduleRow | None:
        with self.store.reading() as t:
            return t.schedules.all().get(name)

    def done(self, name: str) -> float:
        """The moment that a job last ran for."""
        row = self.row(name)
        return row.done if row else 0.0

    def leader(self) -> str | None:
        with self.store.reading() as t:
            return t.leases.holder("beat")

    def sent(self, queue: str) -> list[str]:
        """Ids of the messages in a queue. After a kill one may stand there twice: the relay of the outbox repeats
        what it cannot know to be out, under the same id, and whoever takes it recognises it."""
        found: list[str] = []

        def all_taken() -> bool:
            found.extend(delivery.message.id for delivery in consumer.take(1000, 0.2))
            return len(found) >= waiting

        waiting = self.broker.depths([queue])[queue].ready
        consumer = self.broker.consumer([queue], 1000)
        try:
            self.until(all_taken, f"{waiting} messages come out of {queue}")
            return found
        finally:
            consumer.close()

    def unsent(self) -> int:
        with self.store.reading() as t:
            return t.outbox.count()

    def accepted(self) -> int:
        with self.store.reading() as t:
            return t.tracking.ledger().accepted

    def until(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"never came true: {what}\n{(self.root / 'log').read_text()[-4000:]}"
            time.sleep(0.05)

    def close(self) -> None:
        for process in self._running:
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.store.close()
        self.broker.close()
