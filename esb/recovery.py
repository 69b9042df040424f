"""What happens to a failure: retry now, retry later, park, or admit that nobody knows.

A pure decision, after NServiceBus's recoverability policy: (policy, failure) -> one action. Whoever asked carries it
out: waits, publishes to a delay queue, writes a parked row.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from esb.errors import EndpointError, EsbError
from esb.ports import Doubt, Effect

BreakerState = Literal["closed", "open", "probing"]


class BreakerPolicy(Protocol):
    """The part of a breaker's settings that matters here."""

    @property
    def reset(self) -> float: ...


class Policy(Protocol):
    """What an endpoint says about failures; ``esb.config.models.Recovery`` has this shape. Times in seconds."""

    @property
    def retries(self) -> int: ...
    @property
    def delays(self) -> tuple[float, ...]: ...
    @property
    def give_up(self) -> float: ...
    @property
    def breaker(self) -> BreakerPolicy: ...


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One failed attempt, and what came before it. Times in seconds since the epoch, durations in seconds."""

    kind: str  # the stable word of the error ("busy", "contract" …)
    text: str
    scope: Literal["message", "endpoint"]
    effect_unknown: bool = False
    retry_after: float | None = None
    attempt: int = 1  # tries made in this delivery, the failed one included
    delayed: int = 0  # delays used up so far, over all deliveries
    first_failed: float = 0.0  # the first failure of this message at this endpoint
    now: float = 0.0
    breaker: BreakerState = "closed"
    overspent: bool = False  # the endpoint's retry budget had no immediate retry left for it


class RetryNow(msgspec.Struct, frozen=True):
    """Try again in this delivery."""


class RetryLater(msgspec.Struct, frozen=True):
    """Put it into the delay queue of ``seconds``. ``counts``: this used up one of the policy's delays."""

    seconds: float
    counts: bool


class Park(msgspec.Struct, frozen=True):
    """Trying again is of no use until a person has looked.

    ``reason`` is a sentence for that person, who sees the failure's kind beside it.
    """

    reason: str


class InDoubt(msgspec.Struct, frozen=True):
    """The effect may or may not have taken place, and repeating it could do harm. Park it, marked as such."""

    reason: str


Decision = RetryNow | RetryLater | Park | InDoubt


def failure_of(
    error: BaseException,
    *,
    attempt: int,
    delayed: int,
    first_failed: float,
    now: float,
    breaker: BreakerState = "closed",
    overspent: bool = False,
) -> Failure:
    """A failure as told by its exception; what is not an error of the bus counts as ``internal``."""
    kind, text = (
        (error.kind, str(error)) if isinstance(error, EsbError) else ("internal", f"{type(error).__name__}: {error}")
    )
    return Failure(
        kind=kind,
        text=text,
        scope="endpoint" if isinstance(error, EndpointError) else "message",
        effect_unknown=getattr(error, "effect_unknown", False),
        retry_after=getattr(error, "retry_after", None),
        attempt=attempt,
        delayed=delayed,
        first_failed=first_failed,
        now=now,
        breaker=breaker,
        overspent=overspent,
    )


def decide(policy: Policy, effect: Effect, in_doubt: Doubt, failure: Failure) -> Decision:
    """The one action that follows from a failure.

    Args:
        policy: the endpoint's ``recovery:``.
        effect: what the operation declares about repeats.
        in_doubt: what the operation says about an unkeyed send of unknown outcome.
        failure: what happened, and how often before.
    """
    doubtful = failure.effect_unknown and effect == "unkeyed"
    if failure.scope == "message":
        return Park(failure.text)
    if doubtful and in_doubt == "park":
        return _in_doubt(failure)
    waited = _wait(policy, failure, at_once=not (doubtful and in_doubt == "probe"))
    return _in_doubt(failure) if doubtful and in_doubt == "probe" and isinstance(waited, Park) else waited


def delays(policy: Policy) -> tuple[float, ...]:
    """Every delay that :func:`decide` may choose, ascending: each needs a queue of its own."""
    return tuple(sorted(set(policy.delays))) or (policy.breaker.reset,)


def _wait(policy: Policy, failure: Failure, at_once: bool) -> Decision:
    """When to try again, or that it is of no use; ``at_once`` False: not before the other side has had a while."""
    if failure.breaker != "closed" or failure.overspent:
        return _patiently(policy, failure)
    if at_once and failure.attempt <= policy.retries and not failure.retry_after:
        return RetryNow()
    if failure.delayed < len(policy.delays):
        wanted = max(policy.delays[failure.delayed], failure.retry_after or 0.0)
        return RetryLater(_nearest(delays(policy), wanted), counts=True)
    return Park(f"after {failure.delayed + 1} rounds: {failure.text}")


def _patiently(policy: Policy, failure: Failure) -> Decision:
    """An endpoint that is known to be down, or asked too much of, costs a message no attempt, only patience."""
    if failure.now - failure.first_failed >= policy.give_up:
        return Park(f"the endpoint stayed down for longer than give_up: {failure.text}")
    pause = policy.breaker.reset if failure.breaker != "closed" else delays(policy)[0]
    wanted = max(pause, failure.retry_after or 0.0)
    return RetryLater(_nearest(delays(policy), wanted), counts=False)


def _in_doubt(failure: Failure) -> InDoubt:
    return InDoubt(f"nobody knows whether it took place: {failure.text}")


def _nearest(choices: tuple[float, ...], wanted: float) -> float:
    """The shortest delay that is long enough, else the longest there is (which caps ``retry_after``)."""
    return next((delay for delay in choices if delay >= wanted), choices[-1])
