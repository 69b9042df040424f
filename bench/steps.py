"""What steps cost: a flow with nine more of them beside the same one without.

The flow engine alone runs, in this process, on one thread. CPU time is taken of many short rounds in which the two take
turns, and the cheapest round of each counts: whatever else the machine does can only add to a round.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from bench.figures import Aim, Reading
from bench.order import BUS, order, waiting_order
from bench.plan import Benchmark, Column, Kit, Plan, Side
from esb.config import load
from esb.discovery import discover
from esb.flow import build_parts

ROUND = 10  # messages
STEPS = 9  # filters, chooses and sets that a message comes by in the flow nine, and not in the flow hop
COLUMNS = (
    Column("without", "µs CPU without", ",.1f"),
    Column("with", "with nine", ",.1f"),
    Column("added", "added", ",.1f", spread=True),
    Column("step", "for each step", ",.2f"),
)
AIMS = (Aim("nine more steps, µs of CPU", ("nine",), key="added", at_most=12),)


def make(kit: Kit) -> Plan:
    """Nothing has to be installed."""
    sides = [Side("nine", "three filters, three chooses with a set in each", nine)]
    return Plan(kit.chosen(sides), COLUMNS, yardstick="nine", ours="nine", aims=AIMS)


BENCHMARK = Benchmark("steps", "What steps cost", make, 60_000)


def nine(messages: int) -> Reading:
    """Microseconds of CPU for a message, by the cheapest of the rounds of each flow."""
    flows = build_parts(load(BUS, discover(), environ={})).flows
    message = waiting_order(order()).message
    without, more = flows["hop"].run, flows["nine"].run
    gc.disable()
    try:
        rounds = [(_round(lambda: without(message)), _round(lambda: more(message))) for _ in range(messages // ROUND)]
    finally:
        gc.enable()
    first, second = (min(times) / ROUND * 1e6 for times in zip(*rounds, strict=True))
    return {"without": first, "with": second, "added": second - first, "step": (second - first) / STEPS}


def _round(run: Callable[[], object]) -> float:
    """Seconds of CPU of so many messages."""
    began = time.process_time()
    for _ in range(ROUND):
        run()
    return time.process_time() - began
