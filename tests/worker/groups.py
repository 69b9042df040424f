"""One process with a flow worker and the endpoints', driven in turn, and systems that are asked for a price."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from esb.broker.port import Consumer, endpoint_queue, flow_queue, resume_queue
from esb.errors import Refused
from esb.ports import Reply, Request
from esb.store import GroupRow, Hop
from esb.worker.context import pass_by
from tests.worker.rig import Rig, endpoint_worker, flow_worker, sweep, until

PARTNER = """\
endpoint: {name}
adapter: scripted
timeout: 1s
operations: {{quote: {{effect: keyed}}}}
recovery: {{retries: 0, delays: []}}
"""
# One call at a time, so that what came first was sent first.
TARGET = """\
endpoint: target
adapter: scripted
concurrency: 1
timeout: 2s
operations: {put: {effect: keyed}, shoot: {effect: unkeyed}}
"""


class Running:
    """One process: the flow worker and every endpoint's, driven in turn, with a clock of its own."""

    def __init__(
        self,
        rig: Rig,
        flow: str = "",
        point: Callable[[str], None] = pass_by,
        prepare: bool = True,
        mask: Sequence[str] = (),
    ) -> None:
        if flow:
            rig.write("endpoints/target.yaml", TARGET)
            rig.write("flows/main.yaml", flow)
            contract: dict[str, Any] = {"type": "object", "x-subject": "key"}
            if mask:
                contract |= {"properties": {name: {} for name in ("number", "batch", *mask)}, "x-mask": list(mask)}
            rig.write("contracts/order/v1.json", json.dumps(contract))
        self.rig = rig
        self.late = 0.0  # seconds that the clock is ahead
        self.bus = rig.bus(point=point, prepare=prepare, clock=self.now)
        self.flow = flow_worker(self.bus)
        names = [name for name, e in self.bus.definition.endpoints.items() if e.operations]
        self.endpoints = [endpoint_worker(self.bus, name) for name in names]

    def now(self) -> float:
        return time.time() + self.late

    def later(self, seconds: float) -> None:
        self.late += seconds

    def until_taken(self, consumer: Consumer) -> None:
        """Relay, and take something that is then left unsettled."""

        def taken() -> object:
            sweep(self.bus)
            return consumer.take(1, 0.01)

        until(taken, "something is taken")

    def turn(self) -> None:
        self.flow.cycle()
        for worker in self.endpoints:
            worker.cycle()
        sweep(self.bus)

    def until(self, condition: Callable[[], object], what: str) -> None:
        def turned() -> object:
            self.turn()
            return condition()

        until(turned, what, 30.0)

    def sends(self, *numbers: int) -> None:
        """Until these have arrived, in this order, and nothing else does."""
        self.until(lambda: len(self.rig.outside("target").numbers()) >= len(numbers), f"{numbers} are sent")
        self.rests()
        assert self.rig.outside("target").numbers() == list(numbers)

    def rests(self) -> None:
        """Until nothing moves by itself; a server tells only after a moment what lies in its queues."""
        quiet, enough = 0, 1 if self.bus.store.embedded else 3
        while quiet < enough:
            self.turn()
            quiet = quiet + 1 if self._is_quiet() else 0

    def _is_quiet(self) -> bool:
        names = (endpoint_queue(name) for name, e in self.bus.definition.endpoints.items() if e.operations)
        depths = self.bus.broker.depths([flow_queue("main"), resume_queue("main"), *names])
        with self.bus.store.reading() as t:
            return not t.outbox.count() and not any(d.ready or d.unsettled > 0 for d in depths.values())

    def close(self) -> None:
        """It is gone: what it had taken is the next one's."""
        for worker in (self.flow, *self.endpoints):
            worker._consumer.close()
        self.bus.close()

    def hop(self, id: str) -> Hop:
        found = self.rig.hop(id, "flow:main")
        assert found is not None
        return found

    def groups(self, **given: Any) -> list[GroupRow]:
        with self.bus.store.reading() as t:
            return t.groups.search(**given)


def ask(rig: Rig, **prices: int | None) -> None:
    """Systems that are asked for a price; who has none refuses."""
    for name, price in prices.items():
        rig.write(f"endpoints/{name}.yaml", PARTNER.format(name=name))
        rig.outside(name).script = quoting(price)


def quoting(price: int | None) -> Callable[[Request], Reply]:
    def quote(request: Request) -> Reply:
        if price is None:
            raise Refused("nothing to sell")
        return Reply(detail="quoted", body=json.dumps({"price": price}).encode(), content_type="application/json")

    return quote
