"""The soak, in a form of seconds; `make faults ONLY=soak` is the long one. And what it makes of its figures."""

from __future__ import annotations

import json
import socket

import msgspec
import pytest

from tests.faults import soak
from tests.faults.gauges import established
from tests.faults.levels import Backlog, latency, left_behind, levels, quarters

QUARTERS = quarters(0.0, 40.0)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_soak_of_seconds() -> None:
    """A kill and an outage at half the peak lose nothing; all gauges are read, and the report is whole."""
    told: list[str] = []
    report = soak.run("embedded", 0.1, 4711, told.append)
    assert report.kept, soak.summary(report)
    assert report.faults == {"kill helper": 1, "system down": 1}
    wanted = {"memory bus, MB", "descriptors web", "threads jobs", "rows hops", "messages in queues"}
    assert wanted <= set(report.gauges)
    assert "kill helper: strikes" in told
    assert all(level.name in soak.table(report) for level in report.levels)
    assert json.loads(msgspec.json.encode(report))["messages"].keys() == {"feed", "rows", "orders"}


def test_a_gauge_that_grows_is_told_from_one_that_does_not() -> None:
    """By the medians of the quarters: a peak in between is no growth, and a table of which nobody promised it may."""
    still = [(float(at), 1000.0 if at != 39 else 9000.0) for at in range(40)]
    rising = [(float(at), 1000.0 + 10 * at) for at in range(40)]
    found = levels({"rows a": still, "rows b": rising, "rows c": rising, "rows d": [(1.0, 5.0)]}, QUARTERS, {"rows c"})
    assert [(level.name, level.flat) for level in found] == [("rows a", True), ("rows b", False), ("rows c", True)]


def test_messages_that_meet_a_fault_do_not_count() -> None:
    """They waited for it; the p99 of the last quarter is compared with that of the first without them."""
    ways = [(float(at), at + (1.0 if at < 20 else 1.5)) for at in range(40)]
    ways.append((35.0, 95.0))
    found = latency(ways, QUARTERS, struck=[(50.0, 60.0)])
    assert found is not None
    assert (found.p99, found.ratio, found.counted, found.of) == ((1.0, 1.5), 1.5, 40, 41)
    assert found.slowest[0] == (30.0, 1.5)
    assert latency(ways, QUARTERS, struck=[(0.0, 12.0)]) is None


def test_a_fault_lasts_until_what_it_held_up_is_through() -> None:
    """What was given before its end and took until long after belongs to it; what was given later does not."""
    ways = [(1.0, 2.0), (9.0, 25.0), (15.0, 16.0), (30.0, 40.0)]
    assert left_behind(ways, Backlog(ways, (0.0, 40.0)), (10.0, 14.0)) == (10.0, 25.0)
    assert left_behind(ways[:1], Backlog(ways[:1], (0.0, 40.0)), (10.0, 14.0)) == (10.0, 14.0)


def test_a_fault_lasts_until_its_backlog_is_worked_off() -> None:
    """What is given while those before still wait takes as long as they; it counts when no more wait than usual."""
    usual = [(float(at), at + 0.5) for at in range(0, 100, 2)]
    queued = [(15.0 + n, 30.0 + n / 2) for n in range(20)]  # from the fault on, and worked off at twice the rate
    backlog = Backlog([*usual, *queued], (0.0, 100.0))
    assert backlog.usual == 1
    began, ended = left_behind([*usual, *queued], backlog, (15.0, 20.0))
    assert (began, ended) == (15.0, 39.0)


def test_connections_are_counted_where_they_arrive() -> None:
    """A listener is none, and neither is the far end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert established(port) == 0
        with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
            assert established(port) == 1
