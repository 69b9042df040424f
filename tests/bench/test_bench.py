"""The arithmetic of the benchmarks, and that what they compare is the same work."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench import crew, csv, hanging, steps
from bench.__main__ import BENCHMARKS
from bench.figures import Aim, between, judge, median, ratio, spread
from bench.meter import Meter
from bench.order import BUS, order, pick, waiting_order
from bench.plan import Column, Plan, Side
from bench.process import CannotRun, Child
from bench.report import quietness
from bench.rounds import Turns
from bench.table import readings
from esb.config import check, load
from esb.discovery import discover
from esb.flow import build_parts

ROOT = Path(__file__).parents[2]


def test_the_list_names_every_benchmark():
    """What ``make bench ONLY=…`` takes is what the command lists."""
    done = subprocess.run([sys.executable, "-m", "bench", "--list"], cwd=ROOT, capture_output=True, text=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(BENCHMARKS)


def test_the_median_leaves_out_runs_that_failed():
    """A failed run is no measurement of nought."""
    runs = [{"rate": 10.0}, None, {"rate": 30.0}, {"rate": 11.0}]
    assert (median(runs, "rate"), spread(runs, "rate")) == (11.0, (10.0, 30.0))
    assert median([None], "rate") is None


def test_a_ratio_compares_the_two_sides_of_each_round():
    """A machine that was three times as fast in the second round changes nothing."""
    ours, theirs = [{"rate": 10.0}, {"rate": 30.0}, None], [{"rate": 20.0}, {"rate": 60.0}, {"rate": 1.0}]
    assert ratio(ours, theirs, "rate") == 0.5
    assert between({"a": ours}, "a", "b", "rate") is None


@pytest.mark.parametrize(
    ("aim", "measured", "holds"),
    [
        (Aim("best", ("a", "b"), against="c", at_least=0.5), 0.6, True),
        (Aim("best", ("a",), against="c", at_least=0.5), 0.4, False),
        (Aim("least", ("a", "b"), at_most=5), 4.0, True),
    ],
)
def test_an_aim_is_judged_by_the_best_of_its_sides(aim, measured, holds):
    """Of one to four processes the best counts."""
    verdict = judge(aim, {"a": [{"rate": 4.0}], "b": [{"rate": 6.0}], "c": [{"rate": 10.0}]})
    assert (verdict.measured, verdict.holds) == (measured, holds)


def test_an_aim_that_was_not_measured_has_no_verdict():
    """Without its yardstick nothing is said about a promise."""
    assert judge(Aim("best", ("a",), against="c", at_least=0.5), {"a": [{"rate": 4.0}]}) is None


def test_sides_take_turns_and_one_that_keeps_failing_is_left_out():
    """The others go on, who begins changes from round to round, and the reason is kept."""
    order_of_calls = []

    def broken(messages):
        order_of_calls.append("bad")
        raise CannotRun("it is not there")

    def works(messages):
        order_of_calls.append("good")
        return {"rate": float(messages)}

    sides = [Side("good", "Good", works), Side("bad", "Bad", broken)]
    turns = Turns(sides, lambda text: None, lambda: 0.5, lambda: lambda: 0.0)
    turns.take(3, 1000)
    assert order_of_calls == ["good", "bad", "bad", "good", "good"]
    assert turns.rounds == {"good": [{"rate": 1000.0}] * 3, "bad": [None] * 3}
    assert "it is not there" in turns.failures["Bad"]
    assert quietness(0.0, turns, 0.2) == {
        "quiet": False,
        "others": {"before": 0.0, "between": 0.5, "after": 0.2},
        "stolen": {"median": 0.0, "most": 0.0, "again": 0},
    }


def test_the_run_counts_from_which_other_machines_took_least():
    """It is the first that they left alone, else the calmest of three, and never the fastest for being fast."""
    stolen, rates = iter([0.3, 0.01, 0.2, 0.1, 0.3]), iter([9.0, 5.0, 7.0, 6.0, 8.0])

    def watch():
        share = next(stolen)
        return lambda: share

    turns = Turns([Side("bus", "Bus", lambda messages: {"rate": next(rates)})], lambda text: None, lambda: 0.0, watch)
    turns.take(2, 100)
    assert turns.rounds == {"bus": [{"rate": 5.0}, {"rate": 6.0}]}
    assert (turns.stolen, turns.again) == ([0.01, 0.1], 3)
    assert quietness(0.0, turns, 0.0)["quiet"] is False


def test_the_table_shows_medians_and_both_ratios():
    """Of the yardstick, and what ours is of each."""
    sides = [Side("bus", "bus", dict), Side("peer", "Peer", dict)]
    plan = Plan(sides, (Column("rate", "messages/s"),), yardstick="peer", ours="bus")
    text = readings(plan, {"bus": [{"rate": 500.0}], "peer": [{"rate": 1000.0}]})
    assert [line.split() for line in text.splitlines()][2:] == [
        ["bus", "500", "0.50", "x", "1.00", "x"],
        ["Peer", "1,000", "1.00", "x", "0.50", "x"],
    ]


def test_several_workers_are_counted_together():
    """The clock starts and stops by what all of them have settled; CPU between is that of each."""
    first, second = [(0.0, 0, 1.0), (2.0, 100, 2.0), (4.0, 200, 3.0)], [(0.0, 0, 1.0), (3.0, 100, 2.5)]
    assert [crew.moment([first, second], count) for count in (50, 101, 300)] == [2.0, 3.0, 4.0]
    assert crew.at(first, 3.0) == 2.5
    with pytest.raises(CannotRun, match="300 messages of 301"):
        crew.moment([first, second], 301)


def test_a_meter_knows_the_moments_between_its_looks():
    """It grew evenly, as far as anybody knows."""
    values = iter((10.0, 20.0))
    meter = Meter(lambda: next(values))
    meter._note()
    meter._note()
    meter._times = [1.0, 2.0]
    assert (meter.at(1.5), meter.between(0.0, 3.0)) == (15.0, 10.0)


def test_a_child_that_dies_says_why():
    """Whoever waits for its next line is not left waiting."""
    command = [sys.executable, "-c", "import sys; print('hello'); sys.exit('out of order')"]
    with Child(command) as child:
        assert child.line(20) == "hello"
        with pytest.raises(CannotRun, match="out of order"):
            child.line(20)


def test_a_child_that_hangs_is_ended():
    """The limit is the caller's, and nothing stays behind."""
    hanging = [sys.executable, "-c", "import time; time.sleep(600)"]
    with Child(hanging) as child, pytest.raises(CannotRun, match="took longer"):
        child.line(0.1)
    assert not Path(f"/proc/{child.pid}").exists()


def test_the_bus_of_the_benchmarks_has_no_findings():
    """It is a bus directory like any other."""
    assert check(BUS, discover()) == ()


def test_bus_and_peers_make_the_same_of_an_order():
    """Otherwise they would not be compared at the same work."""
    flow = build_parts(load(BUS, discover())).flows["hop"]
    sent = flow.run(waiting_order(order()).message, "").sends[0].message.body
    expected = msgspec.json.decode(pick())
    assert msgspec.json.decode(sent) == expected
    assert _work().convert(msgspec.json.decode(order())) == expected


def test_nine_steps_are_nine_more():
    """The flow beside the hop comes by as many steps as are counted, and sends the same."""
    flows = build_parts(load(BUS, discover())).flows
    message = waiting_order(order()).message
    one, other = flows["hop"].run(message), flows["nine"].run(message)
    assert len(other.steps) - len(one.steps) == steps.STEPS
    assert [send.message.body for send in other.sends] == [send.message.body for send in one.sends]


def test_a_large_file_is_never_held_whole():
    """Its 48 MB through adapter, flow and embedded broker cost less than that beyond what an eightieth of it does.

    A flow that lags behind, as on a busy machine, costs up to 34 MB whatever the file has; as records it would be far
    more than its bytes.
    """
    small, large = csv.through("list", 6_000, prefetch=10), csv.through("list", 480_000, prefetch=10)
    assert large["size"] > 48
    assert large["memory"] - small["memory"] < large["size"]


def test_a_system_that_hangs_is_kept_busy_while_the_others_are_measured():
    """All calls that the bus may have there hang, none of them counts, and the nine others have all that is theirs."""
    reading = hanging.measure(crew.Place(), "held", 200)
    assert reading["hung"] == hanging.CONCURRENCY
    assert reading["rate"] > 0


def _work():
    """What peers in Python share; peers are programs, not a package."""
    spec = importlib.util.spec_from_file_location("work", ROOT / "bench" / "peers" / "work.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
