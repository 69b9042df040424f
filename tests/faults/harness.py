"""The ledger under fire: a bus in a directory, feeds of numbered messages, effects on record, and processes to kill."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from esb.store import Ledger, Parked, open_store
from esb.testing.servers import free_port
from tests.faults.directory import Setup, write_bus
from tests.faults.feeds import Feed, Files, Orders, Rows
from tests.faults.places import Link, Place
from tests.faults.processes import PATIENCE, BusProcess
from tests.faults.recorder import DECLINED, Recorder
from tests.faults.verdict import Debt, Verdict, judge, owing
from tests.references import references

UNDER_WAY = 150  # messages of files that are kept under way unless something else is said
UNKEYED = ("blunt", "oracle", "notes")  # endpoints where nothing tells a repeat
FEW = 40  # rows that are, and requests


class Fire:
    """Everything of one trial by fire."""

    def __init__(
        self, root: Path, place: Place, seed: int, under_way: int = UNDER_WAY, few: int = FEW, **setup: Any
    ) -> None:
        """Args: a directory of its own, where the bus stands, and what differs from :class:`Setup`'s defaults."""
        self.root = root
        self.place = place
        self.random = random.Random(seed)
        self.recorder = Recorder()
        self.effects = self.recorder.effects
        self.tables = place.tables
        place.links["endpoints"] = Link(self.recorder.url)
        self.setup = Setup(
            **references(root, place.address("broker"), place.address("database")), url=place.links["endpoints"].url,
            port=free_port(), **setup,
        )  # fmt: skip
        write_bus(root, self.setup)
        self.store = open_store(place.database, root / "data")
        self.store.migrate()
        self.log = root / "bus.log"
        self.bus = BusProcess(root, self.log, self.tables.environment)
        self.feed = Files(root / "inbox", under_way, self.told)
        self.rows = Rows(self.tables, few, self.sagas_over)
        self.orders = Orders(self.setup.port, few, lambda: len(self.effects["/order"]))
        self.doubt: Counter[str] = Counter()  # by endpoint: how many may be in doubt, for all that was done to the bus

    @property
    def feeds(self) -> tuple[Feed, ...]:
        return self.feed, self.rows, self.orders

    # --- killing ------------------------------------------------------------------------------------------------

    def crash_at(self, point: str) -> None:
        """Start the bus and let it come by ``point`` a few times before it dies there."""
        self.bus.start("--role", "bus", crash_at=f"{point}#{self.random.randint(1, 8)}")
        if not self.bus.dies_within(PATIENCE):
            raise AssertionError(f"the bus never came by {point!r}\n{self.said()}")
        self.may_doubt(*UNKEYED)

    def kill_everything(self, point: str) -> None:
        """Start all roles; one of them dies at ``point`` and is started again; later the supervisor dies with all."""
        self.kill_at_random(crash_at=point)
        self.may_doubt(*UNKEYED)

    def kill_at_random(self, *arguments: str, crash_at: str = "") -> None:
        """Start the bus (all of it, if nothing is said) and kill it some moment after it has begun to work.

        Not before it is through with what the deaths before left behind: a message that is under way at every death
        is rightly taken for what brings them about.
        """
        before, ticks = self.done(), self.effects["/tick"].total()
        self.bus.start(*arguments, crash_at=crash_at)
        self.wait_until(lambda: self.done() > before, "the bus does some work", PATIENCE)
        if crash_at:
            self.wait_until((self.root / f"crashed at {crash_at}").exists, f"a role comes by {crash_at!r}", PATIENCE)
        if not arguments:
            self.wait_until(lambda: self.effects["/tick"].total() > ticks + 1, "the schedule goes on", PATIENCE)
        self.wait_until(lambda: not self.suspects(), "nobody is suspected any more", PATIENCE)
        time.sleep(self.random.random() * 0.5)
        self.bus.kill()
        self.may_doubt(*UNKEYED)

    def may_doubt(self, *endpoints: str, times: int = 1) -> None:
        """So often as many messages as are under way at once may be in doubt at these."""
        self.doubt.update(dict.fromkeys(endpoints, times * self.setup.concurrency))

    def suspects(self) -> int:
        """Messages that were under way at a death, and are not through yet."""
        with self.store.reading() as t:
            return t.connection.rows("SELECT count(*) FROM suspects")[0][0]

    # --- watching -----------------------------------------------------------------------------------------------

    def some_more(self, effects: int = 300) -> None:
        """Wait until this many more effects have been recorded."""
        before = self.done()
        self.wait_until(lambda: self.done() >= before + effects, f"{effects} more effects", PATIENCE)

    def done(self) -> int:
        """Effects until now, and tries at them."""
        return sum(counts.total() for counts in list(self.effects.values())) + self.recorder.repeats

    def told(self) -> int:
        """Messages of files that had all their effects."""
        return min(len(self.effects["/keyed"]), len(self.effects["/event"]))

    def sagas_over(self) -> int:
        """Sagas that came to their end, one way or the other."""
        return len(self.effects["/ship"]) + len(self.effects["/release"])

    def ledger(self) -> Ledger:
        """What the bus counts."""
        with self.store.reading() as t:
            return t.tracking.ledger()

    def parked(self) -> list[Parked]:
        """What waits for a person."""
        with self.store.reading() as t:
            return t.parked.list(limit=1_000_000)

    def wait_until(self, condition: Callable[[], object], what: str, limit: float) -> None:
        """Raises ``AssertionError`` with the end of the log."""
        deadline = time.monotonic() + limit
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"never came true: {what}\n{self.ledger()}\n{self.said()}")
            time.sleep(0.05)

    def said(self) -> str:
        """The end of the log."""
        return "\n".join(line[:600] for line in self.log.read_text().splitlines()[-20:])

    # --- the end ------------------------------------------------------------------------------------------------

    def settle(self, limit: float = PATIENCE) -> Ledger:
        """Stop feeding, wait until nothing is under way, and read the ledger."""
        for feed in self.feeds:
            feed.stop()
        self.wait_until(self.tables.taken, "all rows are taken", limit)
        self.wait_until(lambda: self.ledger().accepted >= self.accepted and self._at_rest(), "it settles", limit)
        self.wait_until(lambda: not self.owing(), "every effect is there", limit)
        self.wait_until(self._at_rest, "it settles", limit)
        return self.ledger()

    def _at_rest(self) -> bool:
        """Nothing goes on by itself; a flow whose call is in doubt waits for a person."""
        ledger = self.ledger()
        moving = ledger.retrying or ledger.in_flight or ledger.sagas.keys() & {"running", "compensating"}
        return not moving and ledger.in_progress == len(self._subjects("oracle"))

    @property
    def accepted(self) -> int:
        """Messages that the bus was given; of its own accord it makes one a second."""
        return sum(feed.fed for feed in self.feeds) + len(self.effects["/tick"])

    def verdict(self) -> Verdict:
        """Let it come to rest, and judge."""
        ledger = self.settle()
        return judge(self.debts(), self.parked(), ledger, self.accepted)

    def debts(self) -> list[Debt]:
        """What all that was fed is owed."""
        fed, sold, ordered = (range(feed.fed) for feed in self.feeds)
        declined = range(0, self.rows.fed, DECLINED)
        doubt, lies, seen = self.doubt, self.recorder.lies, self.recorder.seen
        shipped = sorted(set(sold) - set(declined))
        keyed = {
            "recorder": {"/keyed": fed, "/event": fed},
            "clerk": {"/order": ordered, "/ask": sold, "/tick": list(seen("/tick"))},
            "partners": {
                "/reserve": sold, "/charge": sold, "/release": declined, "/refund": declined, "/ship": shipped
            },
        }  # fmt: skip
        return [
            *(
                Debt(path, f"out:{endpoint}", owed, seen(path))
                for endpoint, paths in keyed.items()
                for path, owed in paths.items()
            ),
            Debt("/later", "out:later", ordered, seen("/later")),
            Debt("/picky", "out:picky", ordered, seen("/picky")),
            Debt("/unkeyed", "out:blunt", fed, seen("/unkeyed"), doubt["blunt"] + lies["/unkeyed"]),
            Debt("/unkeyed/ask", "out:oracle", sold, seen("/unkeyed/ask"), doubt["oracle"] + lies["/unkeyed/ask"]),
            Debt("/answered", "out:clerk", sold, seen("/answered"), excused=self._subjects("oracle")),
            Debt("booked", "out:books", sold, self.tables.booked),
            Debt("kept", "out:stock", ordered, self.tables.kept),
            Debt("noted", "out:notes", sold, self.tables.noted, doubt["notes"]),
            Debt("filed", "out:drawer", ordered, self.filed()),
        ]

    def owing(self) -> dict[str, list[int]]:
        """Effects that have not come, by name. It moves on by itself while there are some, or they are lost.

        What the ledger has in flight does not tell: a flow lets its commands out before it records them, so one that
        is done already may hide one that is not.
        """
        return owing(self.debts(), self.parked())

    def filed(self) -> Counter[int]:
        """Numbers in the drawer."""
        return Counter(int(file.stem) for file in (self.root / "drawer").glob("*.json"))

    def _subjects(self, endpoint: str) -> frozenset[int]:
        return frozenset(int(p.message.subject or -1) for p in self.parked() if p.place == f"out:{endpoint}")

    def close(self) -> None:
        """Put it out."""
        for feed in self.feeds:
            feed.stop()
        ended = self.bus.stop()
        self.store.close()
        self.recorder.stop()
        self.place.close()
        if ended > 0 or "a fault of esb itself" in self.log.read_text():
            raise AssertionError(f"it did not stop as it should: {ended}\n{self.said()}")
