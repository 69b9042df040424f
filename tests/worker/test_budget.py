"""The retry budget: an outage is not amplified, and a quiet endpoint has its retries all the same."""

from __future__ import annotations

import threading
from typing import Any

from esb.config.models import Budget
from esb.errors import Unreachable
from esb.worker.attempt import Attempt
from esb.worker.budget import RetryBudget
from tests.worker.rig import Rig, drive, endpoint_worker, order, send
from tests.worker.test_endpoint_worker import QUEUE, always, recovery, settled


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def budget(clock: Clock, **policy: object) -> RetryBudget:
    return RetryBudget(Budget.model_validate(policy), clock)


def spent(one: RetryBudget, wanted: int) -> int:
    """How many of so many retries were granted."""
    return sum(one.spend() for _ in range(wanted))


def test_retries_are_a_share_of_the_calls() -> None:
    """A fifth of a hundred, and the least on top."""
    one = budget(Clock(), share=0.2, least=3)
    for _ in range(100):
        one.called()
    assert spent(one, 1000) == 23


def test_a_quiet_endpoint_has_the_least() -> None:
    """One call an hour may be retried."""
    one = budget(Clock(), share=0.2, least=2)
    one.called()
    assert spent(one, 5) == 2


def test_what_was_spent_comes_back_when_the_window_has_passed() -> None:
    """And not before; a clock that is set back starts anew."""
    clock = Clock()
    one = budget(clock, share=0, least=4, window="10s")
    assert spent(one, 9) == 4
    clock.now += 8.0
    assert spent(one, 9) == 0
    clock.now += 3.0
    assert spent(one, 9) == 4
    clock.now -= 500.0
    assert spent(one, 9) == 4


def test_threads_share_it() -> None:
    """Eight ask at the same time; none gets what another has."""
    one = budget(Clock(), share=0, least=100)
    granted: list[int] = []
    threads = [threading.Thread(target=lambda: granted.append(spent(one, 50))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 100


def test_an_outage_is_not_amplified_and_costs_no_delay(rig: Rig) -> None:
    """Of five immediate retries that each of forty messages has, three are made; all wait, and all get through."""
    recovery(
        rig,
        "retries: 5, delays: [50ms], breaker: {failures: 1000, reset: 50ms}, "
        "budget: {share: 0, least: 3, window: 1h}",
    )  # fmt: skip
    bus = rig.bus()
    worker = endpoint_worker(bus)
    retries, attempt = [0], worker._sender.attempt

    def counted(*arguments: Any) -> Attempt:
        made = attempt(*arguments)
        retries[0] += max(made.tries - 1, 0)
        return made

    worker._sender.attempt = counted  # type: ignore[method-assign]
    outside = rig.outside("target")
    outside.script = always(Unreachable("no route"))
    send(bus, *map(order, range(40)))
    drive(worker, lambda: len(outside.calls) > 160, "they come again, beyond the delay they have")
    assert (retries[0], rig.parked()) == (3, [])
    outside.script = lambda r: None
    drive(worker, settled(rig, *range(40)), "all get through")
    assert rig.depth(QUEUE) == 0
