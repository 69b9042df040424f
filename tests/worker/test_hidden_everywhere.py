"""Values that contracts mask, driven through all that a bus does with a message, and then looked for everywhere.

Calls, answers, sagas forward and back, retries, timers, effects in doubt, bodies that nobody can read: the values are
in all of them. Whatever is written down (every column of every table, the file of SQLite itself, every line of the log,
every page and download, what commands print) is searched for them byte by byte.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from structlog.testing import capture_logs

from esb.broker.port import saga_queue
from esb.bus import Bus
from esb.cli import main
from esb.errors import Interrupted, Refused, Unreachable
from esb.message import create
from esb.ports import Record, Reply, Request
from esb.store import credentials, tables
from esb.store.credentials import token_hash
from esb.worker.endpoint import EndpointWorker
from esb.worker.flow import FlowWorker
from esb.worker.inbound import InboundWorker
from esb.worker.repair import edit
from esb.worker.saga import SagaWorker, saga_names
from esb.worker.saga_acts import act
from tests.worker.rig import ORDER, Rig, feed, put, sweep, until

CARD = "4111-1111-1111-1111"  # in what comes in
TOKEN = "tok-in-a-header-77"
PIN = "pin-of-the-answer-88"  # in what is answered
PAN = "pan-taken-by-enrich-99"
PLANTED = re.compile("|".join((CARD, TOKEN, PIN, PAN, "4111111111111111")).encode())

FILES = {
    "contracts/order/v1.json": json.dumps(
        {
            **ORDER,
            "x-mask": ["card", "lines[].pan", "$message.headers.token"],
            "properties": {
                **ORDER["properties"],
                "card": {},
                "do": {},
                "pad": {},
                "stock": {},
                "loyalty": {},
                "lines": {"type": "array", "items": {"type": "object", "properties": {"pan": {}, "number": {}}}},
            },
        }
    ),
    "contracts/stock/v1.json": json.dumps(
        {"type": "object", "x-mask": ["pin", "deep.pan"], "properties": {"pin": {}, "left": {}, "deep": {}}}
    ),
    "contracts/pay/v1.json": json.dumps(
        {
            "type": "object",
            "x-mask": ["card"],
            "required": ["number"],
            "properties": {"number": {}, "card": {}, "do": {}},
        }
    ),
    "contracts/undo/v1.json": json.dumps({"type": "object", "x-mask": ["stock"]}),
    "endpoints/stock.yaml": """\
        endpoint: stock
        adapter: scripted
        timeout: 2s
        recovery: {retries: 0, delays: []}
        operations:
          ask: {effect: keyed, reply: stock/v1}
          book: {effect: unkeyed, reply: stock/v1}
        """,
    "endpoints/slow.yaml": """\
        endpoint: slow
        adapter: scripted
        timeout: 2s
        recovery: {retries: 0, delays: [2h]}
        operations: {put: {effect: keyed}}
        """,
    "endpoints/partner.yaml": """\
        endpoint: partner
        adapter: scripted
        timeout: 1s
        recovery: {retries: 0, delays: []}
        operations:
          reserve: {effect: keyed, reply: stock/v1}
          release: {effect: keyed, contract: undo/v1}
          pay: {effect: keyed, contract: pay/v1, reply: stock/v1}
          refund: {effect: keyed, contract: undo/v1}
          ship: {effect: keyed}
        """,
    "flows/main.yaml": """\
        flow: main
        from: source
        steps:
          - call: {to: stock.ask, as: stock}
          - enrich: {to: stock.ask, set: {loyalty: $answer.deep.pan}}
          - choose:
              - when: do = "break"
                do: {set: {pad: '$error("no " & stock.pin & ", no " & loyalty & ", no " & card)'}}
              - when: do = "book"
                do: {call: {to: stock.book, as: stock}}
          - send: [target.put, slow.put]
        """,
    "flows/state.yaml": """\
        flow: state
        from: source
        steps:
          - idempotent: {by: key}
          - gather: {ask: [stock.ask, stock.ask], as: answers}
          - wrap: {as: envelope}
          - claim: {keep: {key: envelope.key}}
          - fetch: claim
          - unwrap: envelope
          - aggregate: {by: do, size: 2}
          - split:
              each: members
              do:
                - split: {each: lines, batch: 2, lines: some, do: {send: slow.put}}
                - split: {each: lines, do: {send: slow.put}}
        """,
    "sagas/checkout.yaml": """\
        saga: checkout
        from: source
        key: $string(number)
        steps:
          - {name: reserve, call: partner.reserve, as: stock, compensate: partner.release}
          - name: pay
            call: partner.pay
            with: {to: pay/v1, set: {number: number, card: card, do: do}}
            compensate: partner.refund
            timeout: 10m
          - name: ship
            call: partner.ship
            with:
              set:
                number: 'do = "twist" ? $error("no " & stock.pin & card) : number'
                stock: stock
                card: card
                do: do
            pivot: true
        timeout: 20m
        """,
}


@pytest.fixture(params=["embedded", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """On SQLite, which makes its own key, and on PostgreSQL with one that is configured."""
    embedded = request.param == "embedded"
    rig = Rig(tmp_path, database="embedded" if embedded else request.getfixturevalue("postgresql").database())
    for name, text in FILES.items():
        rig.write(name, text)
    if not embedded:
        rig.write("key.txt", "any long text")
        said = (rig.root / "esb.yaml").read_text()
        (rig.root / "esb.yaml").write_text(f'{said}encryption: {{keys: ["secret:file:key.txt"]}}\n')
    yield rig
    rig.close()


def answer(request: Request) -> Reply:
    """What the other sides answer, with something to hide in it; what they are told to refuse they repeat."""
    order = request.document
    wish = f"{request.operation}-{order.get('do')}"
    if wish in ("put-refuse", "pay-refuse", "ship-stuck", "release-stuck"):
        raise Refused(f"card {order.get('card')} is blocked, says {request.body.decode()}")
    if wish in ("put-away",):
        raise Unreachable(f"nobody takes {order.get('card')}")
    if wish == "book-book":
        raise Interrupted(f"booked {order.get('card')}, or not")
    if wish == "put-bug":
        raise ValueError(f"a bug with {request.document['card']}")
    kind = "application/json"
    if wish == "ask-garble":
        return Reply(detail="200", body=f'{{"pin": "{PIN}"'.encode(), content_type=kind)
    if request.operation not in ("ask", "book", "reserve", "pay"):
        return Reply(detail="200")
    document = {"pin": PIN, "left": 7, "deep": {"pan": PAN}}
    return Reply(detail=f"200 {PIN}", body=json.dumps(document).encode(), content_type=kind)


class House:
    """All workers of one process, driven in turn; again and again, every table is searched."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        for name in ("stock", "target", "slow", "partner"):
            rig.outside(name).script = answer
        self.bus = rig.bus()
        context = self.bus.context
        endpoints = [EndpointWorker(context, e) for e in self.bus.definition.endpoints.values() if e.operations]
        sagas = SagaWorker(context, saga_names(context))
        self.turns = 0
        self.workers = [FlowWorker(context), *endpoints, sagas, InboundWorker(context, self.bus.intakes())]

    def until(self, condition: Callable[[], object], what: str) -> None:
        def turn() -> object:
            for worker in self.workers:
                worker.cycle()
            sweep(self.bus)
            if condition():
                return True
            self.turns += 1
            if not self.turns % 5:
                check_tables(self.bus)
            return False

        until(turn, what, limit=30.0)

    def parked(self, *places: str) -> Callable[[], bool]:
        """Whether messages are parked at these places."""
        return lambda: sorted(row.place for row in self.rig.parked()) == sorted(places)

    def saga(self, key: str) -> str:
        """The state of a saga."""
        with self.bus.store.reading() as t:
            rows = t.sagas.search(key=key)
        return rows[0].status if rows else ""


def an_order(number: int, do: str = "", pad: int = 0) -> Any:
    document = {
        "number": str(number) if do == "door" else number,
        "key": f"no-{number}",
        "card": CARD,
        "do": do,
        "pad": "x" * pad,
        "lines": [{"pan": CARD, "number": number}, {"pan": CARD}],
    }
    return create(
        json.dumps(document).encode(), type="order", version=1, source="test", id=f"order-{number}",
        subject=f"no-{number}", headers={"token": TOKEN}, time=1e9,
    )  # fmt: skip


def found_in(value: Any) -> set[bytes]:
    """What was planted and is in a value of a column: as it stands, or packed and deflated."""
    raw = value if isinstance(value, bytes) else str(value).encode()
    forms = [raw]
    for bits in (zlib.MAX_WBITS, -zlib.MAX_WBITS, 31) if isinstance(value, bytes) else ():
        with suppress(zlib.error):
            forms.append(zlib.decompress(raw, bits))
    return {found[0] for form in forms for found in PLANTED.finditer(form)}


def check_tables(bus: Bus) -> None:
    """No column of any row."""
    with bus.store.engine.connect() as connection:
        for table in tables.metadata.sorted_tables:
            for row in connection.execute(sa.select(table)).mappings():
                for column, value in row.items():
                    assert not found_in(value), (table.name, column, found_in(value), value)


def check_files(rig: Rig) -> None:
    """Not a byte of what SQLite wrote, with pages that are free again."""
    for path in (rig.root / "data").glob("store.db*"):
        assert not found_in(path.read_bytes()), path


def check_pages(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> int:
    """No page that can be reached from the first, and no download; how many those were."""
    monkeypatch.setattr(credentials, "_N", 2**4)
    with bus.store.transaction() as t:
        t.users.add("admin", "admin", "tests")
        t.sessions.open(token_hash("a-session"), "admin", bus.context.clock(), 3600.0, "127.0.0.1", "tests")
    client = bus.admin().test_client()
    client.set_cookie("esb_session", "a-session")
    waiting, seen = ["/"], {"/"}
    while waiting:
        path = waiting.pop(0)
        response = client.get(path)
        assert response.status_code < 500, (path, response.status_code)
        assert not found_in(unescape(response.text).encode()), path
        links = {unescape(link) for link in re.findall(r'(?:href|data-live)="(/[^"#]*)', response.text)}
        new = sorted(link for link in links - seen if not link.startswith(("/static", "/sign")))
        seen.update(new)
        waiting += new
    return len(seen)


def check_commands(rig: Rig) -> None:
    """Nothing that a command prints."""
    sagas = [row.id for row in _sagas(rig)]
    words = ["messages", "failed list", "sagas list", "ledger"]
    words += [f"trace no-{number} --bodies" for number in range(1, 12)]
    words += [f"failed show {row.message.id}" for row in rig.parked()]
    for line in [*words, *(f"sagas show {id}" for id in sagas)]:
        for more in ([], ["--json"]):
            done = CliRunner().invoke(main, [*line.split(), "-C", str(rig.root), *more])
            assert done.exit_code in (0, 3), (line, done.output)
            assert not found_in(done.output), line


def _sagas(rig: Rig) -> Any:
    with rig.last.store.reading() as t:
        return t.sagas.search()


def test_what_is_masked_is_written_down_nowhere(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the door to the last retry, it is where the other side is, and nowhere else."""
    house = House(rig)
    with capture_logs() as lines:
        drive(house)
        repair(house)
    assert not found_in(lines)
    check_tables(house.bus)
    if house.bus.store.embedded:
        check_files(rig)
    assert check_pages(house.bus, monkeypatch) > 60
    check_commands(rig)
    assert rig.outside("target").sent[0].document["card"] == CARD  # it was there all the time


def drive(house: House) -> None:
    """Everything goes wrong that can."""
    bus = house.bus
    wishes = ("", "refuse", "away", "break", "book", "garble", "bug")
    feed(bus, *(an_order(number, do) for number, do in enumerate(wishes, 1)), an_order(8, pad=70_000))
    put(bus, "esb.in.source", an_order(9, "door"), rejected(bus))
    house.until(
        house.parked(*["flow:main"] * 2, *["in:source"] * 2, *["out:slow"] * 2, "out:stock", *["out:target"] * 3),
        "what fails is parked",
    )
    feed(bus, an_order(40, "together"), an_order(41, "together"), flow="state")
    house.until(lambda: len(house.rig.outside("slow").sent) == 8, "groups are made, and taken apart again")
    orders = [an_order(20 + n, do) for n, do in enumerate(("", "refuse", "twist", "stuck"))]
    put(bus, saga_queue("checkout"), *orders)
    ends = ["completed", "compensated", "compensated", "stuck"]
    house.until(lambda: [house.saga(str(20 + n)) for n in range(4)] == ends, "the sagas end, or ask a person")


def rejected(bus: Bus) -> Any:
    """A line of a file that nobody can read."""
    record = Record(1, raw=f"no json {CARD}".encode(), error=f"bad '{CARD}'")
    return bus.intakes()["source"].admit(record, id="broken-1", time=1.0).message


def repair(house: House) -> None:
    """A person mends one, retries all, and the other sides are well again; a timer of two hours fires."""
    rig, bus = house.rig, house.bus
    mended = next(row for row in rig.parked() if row.place == "out:target" and row.kind == "refused")
    body = mended.message.body.replace(b'"refuse"', b'"fine"')
    edit(bus.store, bus.parts, mended.key, body, "operator", "mended")
    check_tables(bus)
    with bus.store.transaction() as t:
        t.parked.retry([row.key for row in t.parked.list()], who="operator", why="try again")
        t.connection.run("UPDATE timers SET due_at = 1")
    check_tables(bus)  # the outbox has them now
    house.until(lambda: len(rig.outside("target").sent) == 3, "what was mended is delivered")
    with bus.store.reading() as t:
        (stuck,) = t.sagas.search(status=("stuck",))
    act(bus.context, stuck.id, "end", "operator", "seen to it")
    house.until(lambda: house.saga("23") == "ended", "it is ended")
