"""The poison set: what nobody can read, what breaks its contract by its size, what kills the process."""

from __future__ import annotations

import gzip
import json
import pickle
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from esb.broker import open_broker
from esb.broker.port import Outcome, Outgoing, flow_queue, inbound_queue
from esb.message import JSON, create
from esb.store import Parked, open_store
from tests.faults.processes import BusProcess, send
from tests.faults.recorder import Recorder
from tests.references import references

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
FILES = {
    "esb.yaml": """
bus: poison
broker: "{broker}"
database: "{database}"
admin: {{enabled: false}}
worker: {{lease: 3s}}
""",
    "endpoints/door.yaml": """
endpoint: door
adapter: file
settings: {{directory: inbox, pattern: "*.json", ready: rename}}
receive: {{contract: numbered/v1}}
""",
    "endpoints/target.yaml": """
endpoint: target
adapter: http
settings: {{url: "{url}"}}
operations:
  put: {{post: /keyed, contract: numbered/v1, effect: keyed}}
""",
    "flows/main.yaml": """
flow: main
from: door
steps:
  - send: target.put
""",
}
CONTRACT = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
MEGABYTE = 1024**2
POISON: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"<order>1</order>", JSON),
    "wrong charset": ('{"number": "Müller"}'.encode("latin-1"), JSON),
    "10,000 levels deep": (b"[" * 10_000 + b"]" * 10_000, JSON),
    "20 MB": (b'{"number": "' + b"x" * (20 * MEGABYTE) + b'"}', JSON),
    "empty": (b"", JSON),
    "compression bomb": (gzip.compress(b"0" * (200 * MEGABYTE)), JSON),
    "pickle": (pickle.dumps({"number": 1}), "application/x-python-serialize"),
}
ROUNDS = 2
GROWTH = 50 * MEGABYTE
KILLER = 666


class Deadly(Recorder):
    """A system whose answer to one message is the death of whoever sent it."""

    def __init__(self) -> None:
        super().__init__()
        self.deaths = 0
        self.victim: Callable[[], int] = lambda: 0

    def take(self, path: str, key: str, number: int) -> int:
        if number != KILLER:
            return super().take(path, key, number)
        self.deaths += 1
        send(self.victim(), signal.SIGKILL)
        return 0


class Ward:
    """A bus that is given poison, and what becomes of it."""

    def __init__(self, root: Path, broker: str, database: str) -> None:
        self.recorder = Deadly()
        servers = references(root, broker, database)
        for name, text in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text.format(**servers, url=self.recorder.url))
        (root / "contracts/numbered").mkdir(parents=True)
        (root / "contracts/numbered/v1.json").write_text(json.dumps(CONTRACT))
        (root / "inbox").mkdir()
        self.log = root / "bus.log"
        self.store = open_store(database, root / "data")
        self.store.migrate()
        self.bus = BusProcess(root, self.log, {"ESB_HTTP_PORT": "0"})
        self.recorder.victim = lambda: self.bus.pids.get("bus", 0)
        self.bus.start()
        self.until(lambda: "is running" in self.log.read_text(), "the bus is up")
        self._publisher = (broker_ := open_broker(broker, root / "data")).publisher()
        self._broker = broker_
        self._numbers = iter(range(10**6))

    def give(self, queue: str, id: str, body: bytes, content_type: str = JSON) -> None:
        """Into a queue of the bus's, as somebody else with access to the broker may."""
        headers = {"content-encoding": "gzip"} if "bomb" in id else {}
        message = create(
            body, id=id, type="numbered", version=1, source="door", content_type=content_type, headers=headers
        )
        assert self._publisher.publish([Outgoing(message, queue)]) == [Outcome.CONFIRMED]

    def give_good(self) -> int:
        """A message with which nothing is wrong; its number."""
        number = next(self._numbers)
        self.give(flow_queue("main"), f"good {number}", json.dumps({"number": number}).encode())
        return number

    def through(self, number: int) -> bool:
        """Had it its effect?"""
        return number in self.recorder.effects["/keyed"]

    def parked(self) -> list[Parked]:
        with self.store.reading() as t:
            return t.parked.list(limit=1000)

    def memory(self) -> int:
        """Bytes that are the bus role's own, its share of what roles have in common among them."""
        for line in Path(f"/proc/{self.bus.pids['bus']}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the kernel does not tell")

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"never came true: {what}\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def close(self) -> None:
        self.bus.stop()
        self._publisher.close()
        self._broker.close()
        self.store.close()
        self.recorder.stop()


@pytest.fixture(params=["embedded", "servers"])
def ward(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ward]:
    """On SQLite alone, and on RabbitMQ with PostgreSQL."""
    servers: Any = ("embedded", "embedded")
    if request.param == "servers":
        servers = request.getfixturevalue("rabbitmq").vhost(), request.getfixturevalue("postgresql").database()
    ward = Ward(tmp_path, *servers)
    try:
        yield ward
    finally:
        ward.close()


def test_poison_is_parked_once_and_holds_up_nobody(ward: Ward) -> None:
    """Each with its reason, at the door and in a flow; what comes behind it passes, and no memory is kept."""
    first = ward.give_good()
    ward.until(lambda: ward.through(first), "it flows")
    before = ward.memory()
    given: Counter[str] = Counter()
    for round in range(ROUNDS):
        for name, (body, content_type) in POISON.items():
            for queue, place in ((inbound_queue("door"), "in:door"), (flow_queue("main"), "flow:main")):
                ward.give(queue, f"{name} {round} at {place}", body, content_type)
                given[place] += 1
            behind = ward.give_good()
            ward.until(lambda n=behind: ward.through(n), f"what is behind {name} passes")  # type: ignore[misc]
    ward.until(lambda: len(ward.parked()) >= given.total(), "all of it is parked")
    parked = ward.parked()
    assert Counter(row.place for row in parked) == given
    assert len({row.message.id for row in parked}) == given.total()
    assert all(row.error for row in parked)
    ward.until(lambda: ward.memory() - before < GROWTH, "what was taken for it is given back")


def test_a_message_that_kills_the_process_is_parked(ward: Ward) -> None:
    """After as many deaths as it takes to be sure; neither its neighbours nor what comes behind are."""
    neighbours = [ward.give_good() for _ in range(10)]
    ward.give(flow_queue("main"), "killer", json.dumps({"number": KILLER}).encode())
    neighbours += [ward.give_good() for _ in range(10)]
    ward.until(ward.parked, "it is parked")
    neighbours.append(ward.give_good())
    ward.until(lambda: all(map(ward.through, neighbours)), "the others are through")
    assert [(row.message.correlation_id, row.place, row.kind) for row in ward.parked()] == [
        ("killer", "out:target", "kills the worker")
    ]
    assert ward.recorder.deaths == 5
