from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from standins import ANY_PORT, call

from esb.examples.retail import demo
from esb.examples.retail.systems import tills
from esb.store import Ledger

EXPECTED = tills.plan(60).expected


def settled() -> Ledger:
    """The ledger of a bus that did everything right."""
    orders = len(EXPECTED.orders)
    return Ledger(
        accepted=EXPECTED.accepted,
        completed=orders,
        filtered=EXPECTED.filtered,
        duplicate=EXPECTED.duplicate,
        parked=sum(EXPECTED.parked.values()),
        published=orders,
        sent=3 * orders,
        done=3 * orders,
        parked_by=tuple((kind, "flow:sales", count) for kind, count in EXPECTED.parked.items()),
    )


def recorded() -> demo.Recorded:
    """What the systems saw of a bus that did everything right."""
    once = {"effects": 1, "repeats": 0}
    booked = {"order": dict.fromkeys(EXPECTED.ship, once), "collect": dict.fromkeys(EXPECTED.collect, once)}
    return demo.Recorded(booked, dict.fromkeys(EXPECTED.orders, 1), dict.fromkeys(EXPECTED.orders, 1))


def test_agreement_has_no_differences() -> None:
    """Bus, systems and plan say the same; a repeat that the warehouse recognised does no harm."""
    seen = recorded()
    booked = {**seen.warehouse, "order": {key: {"effects": 1, "repeats": 2} for key in EXPECTED.ship}}
    assert demo.compare(settled(), seen, EXPECTED) == []
    assert demo.compare(settled(), dataclasses.replace(seen, warehouse=booked), EXPECTED) == []


@pytest.mark.parametrize(
    "name",
    [
        "accepted",
        "completed",
        "filtered",
        "parked",
        "duplicate",
        "unsubscribed",
        "published",
        "sent",
        "done",
        "in_doubt",
    ],
)
def test_each_count_of_the_ledger_matters(name: str) -> None:
    """One too many in any count is named, with what was expected and what was found."""
    count = getattr(settled(), name)
    ledger = replace(settled(), **{name: count + 1})
    assert demo.compare(ledger, recorded(), EXPECTED) == [f"ledger: {name}: {count} expected, {count + 1} found"]


def test_a_message_parked_for_another_reason_is_named() -> None:
    """The sum alone would hide that a healthy ticket was parked in place of a broken one."""
    ledger = replace(
        settled(), parked_by=(("decode", "in:pos", 1), ("refused", "out:warehouse", 1), ("mapping", "x", 2))
    )
    assert demo.compare(ledger, recorded(), EXPECTED) == [
        "ledger: parked as contract: 1 expected, 0 found",
        "ledger: parked as refused: 0 expected, 1 found",
    ]


def test_lost_doubled_and_invented_orders_are_named() -> None:
    """Each system is compared order by order."""
    seen = recorded()
    lost, doubled = EXPECTED.ship[0], EXPECTED.ship[1]
    order = {**seen.warehouse["order"], doubled: {"effects": 2, "repeats": 0}}
    archive = {key: count for key, count in seen.archive.items() if key != lost}
    wrong = demo.Recorded({**seen.warehouse, "order": order}, {**seen.search, "SO-X": 1}, archive)
    assert demo.compare(settled(), wrong, EXPECTED) == [
        f"warehouse.order: {doubled} took effect 2 times",
        "search.index: SO-X should not be there",
        f"archive.keep: {lost} is missing",
    ]


def test_the_tills_are_a_program(tmp_path: Path) -> None:
    """Dropping tickets fills the inbox and returns what the plan says."""
    assert demo.drop_tickets(tmp_path, tickets=60) == EXPECTED
    assert {path.name for path in (tmp_path / "inbox" / "pos").iterdir()} == set(EXPECTED.files)


def test_tills_that_fail_say_why(tmp_path: Path) -> None:
    """The text of the program is the text of the error."""
    with pytest.raises(demo.DemoError, match="at least 20 tickets"):
        demo.drop_tickets(tmp_path, tickets=1)


def test_the_systems_stop_with_the_demo(tmp_path: Path) -> None:
    """Leaving the block ends both programs; their records can still be read; the directory is free for the next."""
    with demo.start_systems(tmp_path / "demo", ports=ANY_PORT) as systems:
        assert call("GET", systems.urls["search"] + "/health")[0] == 200
        assert set(systems.env) == {"WAREHOUSE_URL", "SEARCH_URL"}
    with pytest.raises(ConnectionRefusedError):
        call("GET", systems.urls["search"] + "/health")
    assert systems.recorded().search == {}
    systems.stop()
    demo.start_systems(tmp_path / "demo", ports=ANY_PORT).stop()


def test_the_systems_stop_when_the_demo_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves no time to stop children; they see their standard input end."""
    code = f"""if True:
        import json, pathlib, sys
        from esb.examples.retail.demo import start_systems
        systems = start_systems(pathlib.Path({str(tmp_path / "demo")!r}), ports={ANY_PORT!r})
        print(json.dumps(systems.urls), flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        urls = json.loads(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
    for url in urls.values():
        assert _refuses(url)


def _refuses(url: str) -> bool:
    """True once nobody listens; asks again while somebody does."""
    for _ in range(10_000):
        try:
            call("GET", url + "/health")
        except ConnectionError:
            return True
    return False


def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    """A second demo in the same directory would clear it under the feet of the first."""
    with (
        demo.start_systems(tmp_path / "demo", ports=ANY_PORT),
        pytest.raises(demo.DemoError, match="stop it first"),
    ):
        demo.start_systems(tmp_path / "demo", ports=ANY_PORT)


def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """Only what an earlier demo left behind is ever cleared."""
    (tmp_path / "thesis.txt").write_text("the only copy")
    with pytest.raises(demo.DemoError, match="not from a demo"):
        demo.start_systems(tmp_path, ports=ANY_PORT)
    assert (tmp_path / "thesis.txt").read_text() == "the only copy"


def test_a_taken_port_is_no_obstacle(tmp_path: Path) -> None:
    """The ports are wishes: whoever has one already keeps it."""
    with demo.start_systems(tmp_path / "one", ports=ANY_PORT) as first:
        taken = {name: int(url.rpartition(":")[2]) for name, url in first.urls.items()}
        with demo.start_systems(tmp_path / "two", ports=taken) as second:
            assert set(first.urls.values()).isdisjoint(second.urls.values())
