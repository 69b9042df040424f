"""Health: every endpoint is asked for a sign of life, so that people see who does not answer before a message does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from esb.worker.connection import ask_connection
from esb.worker.upkeep import Upkeep

AT_ONCE = 8


def probe(upkeep: Upkeep) -> int:
    """Ask all endpoints, some at a time, and note the answers; how many did not answer well."""
    adapters = [upkeep.adapter(name) for name in upkeep.definition.endpoints]
    with ThreadPoolExecutor(AT_ONCE, "probe") as pool:
        probes = list(pool.map(lambda adapter: ask_connection(adapter, upkeep.clock), adapters))
    with upkeep.store.transaction() as t:
        t.probes.record(probes)
    return sum(not probe.ok for probe in probes)
