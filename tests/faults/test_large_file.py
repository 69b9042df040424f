"""A large file that is read in batches and split again, by two processes that are killed on the way."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from esb.bus import Bus
from esb.config import load
from esb.discovery import discover
from esb.store import Ledger, open_store
from tests.faults.depot import Partners
from tests.faults.processes import PATIENCE, BusProcess
from tests.references import references

pytestmark = pytest.mark.faults
ROWS, BATCH, PAGE = 3000, 25, 10  # of the file; of a message; of a part, and each is sent
PAGES = ROWS // BATCH * 3  # of ten, ten and five rows
FILES = {
    "esb.yaml": """
bus: list
broker: "{broker}"
database: "{database}"
worker: {{batch: 10, prefetch: 20, lease: 2s}}
recovery: {{retries: 1, delays: [200ms], breaker: {{failures: 50, reset: 200ms}}}}
journey: errors
""",
    "endpoints/list.yaml": """
endpoint: list
adapter: file
settings: {{directory: inbox, pattern: "*.csv", ready: rename}}
format: csv
records: {{batch: {batch}, lines: rows}}
receive: {{poll: 100ms}}
---
endpoint: pages
adapter: http
settings: {{url: "{url}"}}
concurrency: 4
timeout: 10s
operations: {{page: {{post: /page, effect: keyed}}}}
""",
    "flows/list.yaml": """
flow: list
from: list
steps:
  - split:
      each: rows
      batch: {page}
      lines: rows
      do: {{send: pages.page}}
""",
}
# When some of the file is published, and when that is noted; when the parts of a message are published; when one of
# these is sent.
DEATHS = ("in: published#2", "in: tracked#2", "flow: published#2", "endpoint: after effect#7")


class Place:
    """A bus directory with the file in its inbox, the system that the pages go to, and two processes of the bus."""

    def __init__(self, root: Path, broker: str, database: str) -> None:
        self.partners = Partners()
        servers = references(root, broker, database)
        for name, text in FILES.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.format(**servers, url=self.partners.url, batch=BATCH, page=PAGE))
        self.store = open_store(database, root / "data")
        self.store.migrate()
        with closing(Bus(load(root, discover()), discover())) as bus:
            bus.prepare()
        gc.collect()  # expressions of that bus must not be dropped by a thread of the partners
        (root / "inbox").mkdir()
        (root / "inbox/list.csv").write_text("n,text\n" + "".join(f"{n},row {n}\n" for n in range(ROWS)))
        self.buses = [BusProcess(root, root / f"bus{number}.log", {}) for number in range(2)]

    def ledger(self) -> Ledger:
        with self.store.reading() as t:
            return t.tracking.ledger()

    def crash_at(self, point: str) -> None:
        """Both run until one of them dies there; the other is killed wherever it is then."""
        for bus in self.buses:
            bus.start("--role", "bus", crash_at=point)
        self.wait_until(lambda: any(bus.dies_within(0.05) for bus in self.buses), f"a process comes by {point}")
        for bus in self.buses:
            bus.kill()

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"never came true: {what}\n{len(self.partners.effects['page'])}\n{self.ledger()}")
            time.sleep(0.02)

    def close(self) -> None:
        for bus in self.buses:
            bus.stop()
        self.store.close()
        self.partners.stop()


@pytest.fixture(params=["embedded", pytest.param("servers", marks=[pytest.mark.rabbitmq, pytest.mark.postgresql])])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """On SQLite alone, and on RabbitMQ with PostgreSQL."""
    servers: Any = ("embedded", "embedded")
    if request.param == "servers":
        servers = request.getfixturevalue("rabbitmq").vhost(), request.getfixturevalue("postgresql").database()
    place = Place(tmp_path, *servers)
    try:
        yield place
    finally:
        place.close()


@pytest.mark.timeout(300)
def test_each_row_arrives_once_whoever_dies_in_the_middle(place: Place) -> None:
    """The file is read on from where it was safe; parts that were sent already are recognised."""
    for point in DEATHS:
        place.crash_at(point)
    assert 0 < len(place.partners.effects["page"]) < PAGES, "there was something left to do"
    for bus in place.buses:
        bus.start("--role", "bus")
    place.wait_until(lambda: len(place.partners.effects["page"]) >= PAGES, "all pages have come")
    accepted = ROWS // BATCH
    place.wait_until(lambda: place.ledger().accepted >= accepted and place.ledger().settled, "it settles")
    pages = place.partners.effects["page"]
    assert Counter(row["n"] for page in pages for row in page["rows"]) == Counter(str(n) for n in range(ROWS))
    assert (len(pages), place.ledger().accepted) == (PAGES, accepted)
    with place.store.reading() as t:
        assert t.parked.list() == []
