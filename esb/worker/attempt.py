"""One attempt at one delivery: encode, send, and the immediate retries. Runs on the pool of its endpoint."""

from __future__ import annotations

import random
import threading
import traceback
from collections.abc import Callable, Mapping

import msgspec

from esb.broker.port import DEADLINE, Delivery
from esb.config.definition import LoadedEndpoint, LoadedOperation
from esb.errors import EsbError, InternalError, MessageError, RoutingError, without_frames
from esb.flow.expiry import expired
from esb.formats.numbers import decode_json
from esb.message import HTTP_PREFIX, to_headers
from esb.ports import Adapter, Format, Reply, Request
from esb.recovery import BreakerState, RetryNow, decide, failure_of
from esb.worker.budget import RetryBudget
from esb.worker.context import Context
from esb.worker.rows import ATTEMPT, FAILED, fit
from esb.worker.thread import log

_LARGEST = 1e12  # epoch seconds far beyond any use


class DeadlinePassed(MessageError):  # noqa: N818 - says what happened
    """Whoever asked does not wait any longer, so it is not sent."""

    kind = "deadline"


class Attempt(msgspec.Struct, kw_only=True):
    """What became of a delivery. ``sent`` False: it never got as far as the adapter (or had been done before)."""

    delivery: Delivery
    started: float
    tries: int = 0
    sent: bool = False
    reply: Reply | None = None
    error: EsbError | None = None
    doubtful: bool = False  # some try of this delivery may have had an effect, though it failed
    overspent: bool = False  # the retry budget had no immediate retry left
    put_off: float = 0.0  # seconds to wait, costing nothing: somebody else may still be at it

    @property
    def went_well(self) -> bool:
        return self.sent and self.error is None

    @property
    def harmless(self) -> bool:
        """It failed, and certainly had no effect."""
        return self.error is not None and not getattr(self.error, "effect_unknown", False)

    @property
    def operation(self) -> str:
        return operation_of(self.delivery)


def operation_of(delivery: Delivery) -> str:
    """Which operation a command is for."""
    return fit(delivery.properties.get("operation", ""))


def first_failed(delivery: Delivery, now: float) -> float:
    """When this message first failed at this endpoint, seconds since the epoch; ``now`` if it did not."""
    return _number(delivery.properties.get(FAILED), now)


def too_late(delivery: Delivery, now: float) -> bool:
    """Whether its caller no longer waits at ``now``, seconds since the epoch."""
    return DEADLINE in delivery.properties and now > _number(delivery.properties[DEADLINE], _LARGEST)


def delays_used(delivery: Delivery) -> int:
    """How many of the policy's delays it has used up."""
    return int(_number(delivery.properties.get(ATTEMPT), 0))


def _number(text: str | None, default: float) -> float:
    """A property as a number. Anybody may publish to a queue: what is none counts as absent."""
    try:
        number = float(text or default)
    except ValueError:
        return default
    return number if 0 <= number < _LARGEST else default


class Sender:
    """Turns deliveries into requests of an adapter. Shared by the pool's threads."""

    def __init__(
        self, endpoint: LoadedEndpoint, adapter: Adapter, format: Format, context: Context, stopping: threading.Event
    ) -> None:
        self._endpoint = endpoint
        self._operations: Mapping[str, LoadedOperation] = endpoint.operations
        self._adapter = adapter
        self._format = format
        self._context = context
        self._stopping = stopping
        self._budget = RetryBudget(endpoint.recovery.budget, context.clock)

    def attempt(self, delivery: Delivery, breaker: Callable[[], BreakerState]) -> Attempt:
        """Send, retrying at once as often as the policy allows. Never raises."""
        attempt = Attempt(delivery=delivery, started=self._context.clock())
        try:
            request = self._request(delivery)
        except Exception as error:
            attempt.error = self._kept(error, "prepare", delivery)
            return attempt
        self._budget.called()
        while self._try(request, attempt) and self._again(attempt, breaker()):
            self._stopping.wait(random.random() * self._context.jitter)
        return attempt

    def _try(self, request: Request, attempt: Attempt) -> bool:
        """One try; True when it failed."""
        attempt.tries += 1
        attempt.sent = True
        try:
            self._context.point("endpoint: before effect")
            attempt.reply, attempt.error = self._adapter.send(request), None
            self._context.point("endpoint: after effect")
        except BaseException as error:  # an adapter's bug (or sys.exit) must not lose the message
            attempt.error = self._kept(error, "send", attempt.delivery)
            foreseen = isinstance(error, EsbError)
            attempt.doubtful = attempt.doubtful or not attempt.harmless or not foreseen
        return attempt.error is not None

    def _kept(self, error: BaseException, what: str, delivery: Delivery) -> EsbError:
        """The error as it is kept; what is none of the bus's is a bug: recovery parks its message."""
        if isinstance(error, EsbError):
            return without_frames(error)
        trace = self._context.journal().text("".join(traceback.format_exception(error)), delivery.message)
        log.error("unexpected error", endpoint=self._endpoint.name, while_trying_to=what, trace=trace)
        return InternalError(f"unexpected {type(error).__name__} in adapter or format: {error}")

    def _again(self, attempt: Attempt, breaker: BreakerState) -> bool:
        assert attempt.error is not None
        now = self._context.clock()
        failure = failure_of(
            attempt.error, attempt=attempt.tries, delayed=delays_used(attempt.delivery),
            first_failed=first_failed(attempt.delivery, now), now=now, breaker=breaker,
        )  # fmt: skip
        common = self._operations[attempt.operation]
        decision = decide(self._endpoint.recovery, common.effect, common.common.in_doubt, failure)
        if not isinstance(decision, RetryNow) or self._stopping.is_set():
            return False
        attempt.overspent = not self._budget.spend()
        return not attempt.overspent

    def _request(self, delivery: Delivery) -> Request:
        name, message = operation_of(delivery), delivery.message
        if too_late(delivery, self._context.clock()):
            raise DeadlinePassed(f"the deadline passed before {self._endpoint.name}.{name} was sent")
        too_old = expired(message, self._context.clock())
        if too_old is not None:
            raise too_old
        if name not in self._operations:
            raise RoutingError(f"endpoint {self._endpoint.name} has no operation {name!r} any more")
        document = decode_json(message.body)
        return Request(
            operation=name,
            message_id=message.id,
            key=f"{message.id}/{name}",
            body=self._format.encode(document),
            document=document,
            content_type=self._format.content_type,
            headers=to_headers(message, HTTP_PREFIX),
            subject=message.subject,
            time=message.time,
            timeout=self._endpoint.timeout,
        )
