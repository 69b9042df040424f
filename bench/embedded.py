"""One hop over the embedded broker: the work of ``bench.hop``, with broker and database in SQLite files."""

from __future__ import annotations

from functools import partial

from bench import crew
from bench.crew import Place
from bench.figures import Aim
from bench.plan import Benchmark, Column, Kit, Plan, Side

COLUMNS = (Column("rate", "messages/s", spread=True), Column("cpu", "µs CPU each", ",.1f"))
AIMS = (Aim("embedded, messages a second", ("bus",), at_least=10_000),)


def make(kit: Kit) -> Plan:
    """Nothing has to be installed."""
    sides = [
        Side("bus", "bus", partial(crew.hop, Place())),
        Side("bus-headers", "bus, journey headers", partial(crew.hop, Place(journey="headers"))),
        Side("bus-errors", "bus, journey errors", partial(crew.hop, Place(journey="errors"))),
        Side("bare", "broker alone, no work", partial(crew.hop, Place(), bare=True), share=2),
    ]
    return Plan(kit.chosen(sides), COLUMNS, yardstick="bare", ours="bus", aims=AIMS)


BENCHMARK = Benchmark("embedded", "One hop over the embedded broker", make, 20_000)
