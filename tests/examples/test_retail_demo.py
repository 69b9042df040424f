from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from standins import exchange

from esb.examples.retail import demo
from esb.examples.retail.compare import Expected, Recorded, compare, settled
from esb.examples.retail.systems import erp, shoppers, tills
from esb.store import Ledger

EXPECTED = Expected(tills.plan(100).expected, erp.plan()[1], shoppers.plan(30)[1], reports=1)
COUNTS = [
    *("accepted", "completed", "filtered", "parked", "duplicate", "unsubscribed"),
    *("published", "sent", "done", "compensated", "rejected", "out_parked", "in_doubt"),
]


def ledger() -> Ledger:
    """The ledger of a bus that did everything right."""
    sent, refused = sum(EXPECTED.sends.values()), len(EXPECTED.tills.refused)
    confirmed, cancelled = len(EXPECTED.web.confirmed), len(EXPECTED.web.cancelled)
    undone = EXPECTED.sends["warehouse.release"] + EXPECTED.sends["payments.refund"]
    return Ledger(
        accepted=EXPECTED.messages,
        completed=EXPECTED.tills.completed + len(EXPECTED.erp.levels) + len(EXPECTED.web.accepted) + 1,
        filtered=EXPECTED.tills.filtered,
        duplicate=EXPECTED.tills.duplicate,
        parked=sum(EXPECTED.tills.parked.values()) + 1,
        published=len(EXPECTED.orders) + len(EXPECTED.erp.levels) + 2 * (confirmed + cancelled),
        sent=sent,
        done=sent - refused - undone - cancelled,
        compensated=undone,
        rejected=cancelled,
        sagas={"completed": confirmed, "compensated": cancelled},
        out_parked=refused,
        flows={place: {34: count} for place, count in EXPECTED.copies.items()},
        parked_by=tuple((kind, "somewhere", count) for kind, count in EXPECTED.parked.items()),
    )


def recorded() -> Recorded:
    """What the systems saw of a bus that did everything right."""
    once, levels = {"effects": 1, "repeats": 0}, {p: max(n, 0) for p, n in EXPECTED.erp.levels.items()}
    refused = set(EXPECTED.tills.refused)
    reserved, charged, released, refunded = EXPECTED.checkouts
    moved = [(order, "charge", EXPECTED.web.amounts[order]) for order in charged]
    moved += [(order, "refund", EXPECTED.web.amounts[order]) for order in refunded]
    status = {"confirmed": EXPECTED.web.confirmed, "cancelled": EXPECTED.web.cancelled}
    answers = {order.removeprefix("WO-"): ["accepted"] for order in EXPECTED.web.accepted}
    answers |= {order.removeprefix("WO-"): ["accepted", "duplicate"] for order in EXPECTED.web.fates[shoppers.TWICE]}
    return Recorded(
        warehouse={
            "order": dict.fromkeys(set(EXPECTED.tills.ship) - refused, once),
            "collect": dict.fromkeys(set(EXPECTED.tills.collect) - refused, once),
            "reserve": dict.fromkeys(reserved, once),
            "release": dict.fromkeys(released, once),
        },
        payments={"charge": dict.fromkeys(charged, once), "refund": dict.fromkeys(refunded, once)},
        courier={"book": dict.fromkeys(EXPECTED.web.confirmed, once)},
        status={order: word for word, orders in status.items() for order in orders},
        search=EXPECTED.orders,
        stock={"search": levels, "webshop": levels},
        archive=dict.fromkeys(EXPECTED.orders, 1),
        finance={order: [amount] for order, amount in EXPECTED.amounts.items()},
        movements=moved,
        reports=[[*moved, ("", "due", round(sum(EXPECTED.web.amounts[order] for order in charged - refunded), 2))]],
        answers=answers | {key: ["422"] for key in EXPECTED.web.refused},
    )


def test_agreement_has_no_differences() -> None:
    """Bus, systems and plan say the same; a repeat that the warehouse recognised does no harm."""
    seen = recorded()
    booked = {**seen.warehouse, "order": {key: {"effects": 1, "repeats": 2} for key in seen.warehouse["order"]}}
    assert compare(ledger(), seen, EXPECTED) == []
    assert compare(ledger(), dataclasses.replace(seen, warehouse=booked), EXPECTED) == []


@pytest.mark.parametrize("name", COUNTS)
def test_each_count_of_the_ledger_matters(name: str) -> None:
    """One too many in any count is named, with what was expected and what was found."""
    count = getattr(ledger(), name)
    wrong = replace(ledger(), **{name: count + 1})
    assert compare(wrong, recorded(), EXPECTED) == [f"ledger: {name}: {count} expected, {count + 1} found"]


def test_a_message_parked_for_another_reason_is_named() -> None:
    """The sum alone would hide that a healthy ticket was parked in place of a broken one."""
    kinds = {**EXPECTED.parked, "contract": EXPECTED.parked["contract"] - 1, "in doubt": 1}
    wrong = replace(ledger(), parked_by=tuple((kind, "x", count) for kind, count in kinds.items()))
    assert compare(wrong, recorded(), EXPECTED) == [
        f"ledger: parked as contract: {EXPECTED.parked['contract']} expected, {kinds['contract']} found",
        "ledger: parked as in doubt: 0 expected, 1 found",
    ]


def test_lost_doubled_and_invented_orders_are_named() -> None:
    """Each system is compared order by order."""
    seen = recorded()
    lost, doubled = sorted(seen.warehouse["order"])[:2]
    order = {**seen.warehouse["order"], doubled: {"effects": 2, "repeats": 0}}
    archive = {key: count for key, count in seen.archive.items() if key != lost}
    changes: dict[str, Any] = {"warehouse": {**seen.warehouse, "order": order}, "archive": archive}
    wrong = dataclasses.replace(seen, search=[*seen.search, "SO-X"], **changes)
    assert compare(ledger(), wrong, EXPECTED) == [
        f"warehouse.order: {doubled} took effect 2 times",
        "search.index: SO-X should not be there",
        f"archive.keep: {lost} is missing",
    ]


def test_every_system_is_compared() -> None:
    """Another level in one system, an amount that differs or stands twice, an answer that never came."""
    seen = recorded()
    place, pieces = next(iter(seen.stock["search"].items()))
    first, second = sorted(seen.finance)[:2]
    number = EXPECTED.web.accepted[0].removeprefix("WO-")
    bad = EXPECTED.web.refused[0]
    wrong = dataclasses.replace(
        seen,
        stock={**seen.stock, "webshop": {**seen.stock["webshop"], place: pieces + 1}},
        finance={**seen.finance, first: [0.5], second: seen.finance[second] * 2},
        answers={**seen.answers, number: ["no answer (503)"], bad: ["accepted"]},
    )
    assert compare(ledger(), wrong, EXPECTED) == [
        f"webshop: pieces of {place}: {pieces} expected, {pieces + 1} found",
        f"finance.book: {second} took effect 2 times",
        f"finance.book: amount of {first}: {EXPECTED.amounts[first]} expected, 0.5 found",
        f"webshop: answer to {bad}: ['422'] expected, ['accepted'] found",
        f"webshop: WO-{number} was answered no answer (503)",
    ]


def test_an_order_charged_for_nothing_is_named() -> None:
    """Neither shipped nor refunded: seen in the systems' own records, whatever was planned."""
    seen = recorded()
    order = EXPECTED.web.confirmed[0]
    parcels = {key: one for key, one in seen.courier["book"].items() if key != order}
    wrong = dataclasses.replace(seen, courier={"book": parcels}, status={**seen.status, order: "cancelled"})
    assert compare(ledger(), wrong, EXPECTED) == [
        f"courier.book: {order} is missing",
        f"{order} is charged, and neither shipped nor refunded",
        f"webshop: status of {order}: confirmed expected, cancelled found",
    ]


def test_a_saga_that_did_not_end_well_is_named() -> None:
    """One that waits for a person is neither completed nor compensated."""
    ends = {**ledger().sagas, "completed": ledger().sagas["completed"] - 1, "stuck": 1}
    assert compare(replace(ledger(), sagas=ends), recorded(), EXPECTED) == [
        f"ledger: sagas completed: {ends['completed'] + 1} expected, {ends['completed']} found",
        "ledger: sagas stuck: 0 expected, 1 found",
    ]


def test_a_report_that_lacks_a_row_is_named() -> None:
    """The report is held against what the payment provider moved, row by row; one that never came is named."""
    seen = recorded()
    lost, *rest = seen.reports[0]
    assert compare(ledger(), dataclasses.replace(seen, reports=[rest]), EXPECTED) == [
        f"reports.settlement: {lost[0]} charge {lost[2]}: 1 expected, 0 found"
    ]
    assert compare(ledger(), dataclasses.replace(seen, reports=[]), EXPECTED) == [
        "reports.settlement: files: 1 expected, 0 found"
    ]


def test_settled_waits_for_every_subscriber() -> None:
    """An event between its publisher and a subscriber is in no count yet; nor is a message that has not come in."""
    assert stays(ledger())
    flows = ledger().flows
    assert not stays(replace(ledger(), flows={**flows, "flow:search": {34: len(EXPECTED.orders) - 1}}))
    assert not stays(replace(ledger(), accepted=EXPECTED.messages - 1))
    assert not stays(replace(ledger(), in_progress=1))


def test_settled_is_what_two_looks_find_alike() -> None:
    """A flow's commands may be done before it has written down that it sent them."""
    assert not settled(ledger(), None, EXPECTED)
    assert not settled(ledger(), replace(ledger(), sent=ledger().sent - 1), EXPECTED)


def stays(found: Ledger) -> bool:
    return settled(found, found, EXPECTED)


def test_programs_do_the_work(systems: demo.Systems) -> None:
    """Tills and ERP fill their inboxes, each whole file as planned; the shoppers wait for a bus to answer."""
    expected = systems.work(tickets=20, orders=20)
    assert (expected.tills, expected.erp) == (tills.plan(20).expected, erp.plan()[1])
    for name, files in (("pos", expected.tills.files), ("erp", expected.erp.files)):
        assert {path.name for path in (systems.workdir / "inbox" / name).iterdir()} == set(files)
    assert systems.working
    assert systems.recorded().answers == {}


def test_a_program_that_fails_says_why(systems: demo.Systems) -> None:
    """The text of the program is the text of the error."""
    with pytest.raises(demo.DemoError, match="at least 20 tickets"):
        systems.work(tickets=1)


def test_the_bus_is_told_where_they_are(systems: demo.Systems) -> None:
    """Each stand-in answers at the address that the bus gets, and has recorded nothing yet."""
    for name, url in systems.urls.items():
        if name not in demo.OURS:
            assert systems.env[f"{name.upper()}_URL"] == url
            assert exchange("GET", url + "/health")[0] == 200
    assert systems.env["INGRESS_PORT"] == systems.urls["ingress"].rpartition(":")[2]


def test_the_systems_stop_with_the_demo(tmp_path: Path) -> None:
    """Leaving the block ends all programs; their records can still be read; the directory is free for the next."""
    with demo.start_systems(tmp_path / "demo", ports=demo.ANY_PORT) as systems:
        taken = {name: int(url.rpartition(":")[2]) for name, url in systems.urls.items()}
    assert all(map(_refuses, systems.urls.values()))
    assert systems.recorded().search == []
    systems.stop()
    demo.lay_out(tmp_path / "demo").close()
    assert set(taken) == set(demo.PORTS)


def test_the_systems_stop_when_the_demo_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves no time to stop children; they see their standard input end."""
    code = f"""if True:
        import json, pathlib, sys
        from esb.examples.retail.demo import start_systems
        systems = start_systems(pathlib.Path({str(tmp_path / "demo")!r}), ports={demo.ANY_PORT!r})
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
            exchange("GET", url + "/health")
        except ConnectionError:
            return True
    return False


def test_a_directory_in_use_is_left_alone(systems: demo.Systems) -> None:
    """A second demo in the same directory would clear it under the feet of the first."""
    with pytest.raises(demo.DemoError, match="stop it first"):
        demo.start_systems(systems.workdir, ports=demo.ANY_PORT)


def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """Only what an earlier demo left behind is ever cleared."""
    (tmp_path / "thesis.txt").write_text("the only copy")
    with pytest.raises(demo.DemoError, match="not from a demo"):
        demo.start_systems(tmp_path, ports=demo.ANY_PORT)
    assert (tmp_path / "thesis.txt").read_text() == "the only copy"


def test_a_taken_port_is_no_obstacle(systems: demo.Systems, tmp_path: Path) -> None:
    """The ports are wishes: whoever has one already keeps it."""
    taken = {name: int(url.rpartition(":")[2]) for name, url in systems.urls.items() if name not in demo.OURS}
    with demo.start_systems(tmp_path / "two", ports=taken) as second:
        assert set(systems.urls.values()).isdisjoint(second.urls.values())


@pytest.mark.parametrize("library", ["lxml", "cryptography"])
def test_without_a_library_the_demo_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    """The warehouse speaks XML, the web shop's cards are masked, and what both need are extras."""
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name == library else True)
    with pytest.raises(demo.DemoError, match=rf"needs {library}: pip install 'esb\[encryption,xml\]'"):
        demo.start_systems(tmp_path / "demo")
