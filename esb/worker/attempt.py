"""One attempt at one delivery: encode, send, and the immediate retries. Runs on the pool of its endpoint."""

from __future__ import annotations

import random
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from esb.broker.port import DEADLINE, Delivery
from esb.config.definition import LoadedEndpoint, LoadedOperation
from esb.errors import EndpointError, EsbError, InternalError, MessageError, RoutingError, without_frames
from esb.flow.expiry import expired
from esb.formats.numbers import decode_json
from esb.message import HTTP_PREFIX, JSON, to_headers
from esb.ports import Adapter, Format, Reply, Request
from esb.recovery import BreakerState, RetryNow, decide, failure_of
from esb.worker.budget import RetryBudget
from esb.worker.context import Context
from esb.worker.rows import ATTEMPT, FAILED, fit
from esb.worker.thread import log

_encode = msgspec.json.Encoder().encode
TRACES, EACH = 10, 1000  # so many of one sort are logged with their trace, and then one of so many
_LARGEST = 1e12  # epoch seconds far beyond any use


class DeadlinePassed(MessageError):  # noqa: N818 - says what happened
    """Whoever asked does not wait any longer, so it is not sent."""

    kind = "deadline"


class Unresolved(EndpointError):  # noqa: N818 - says what is so
    """It may have taken place before, and the other side could not be asked."""

    kind = "in doubt"
    effect_unknown = True

    def __init__(self, cause: EsbError) -> None:
        super().__init__(f"whether it took place before cannot be found out: {cause}")
        self.retry_after = getattr(cause, "retry_after", None)


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


Call = tuple[Attempt, Request]


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
        self._unexpected: Counter[tuple[str, str]] = Counter()  # how often each, while trying to do what
        self._budget = RetryBudget(endpoint.recovery.budget, context.clock)

    def attempt(self, delivery: Delivery, breaker: Callable[[], BreakerState], ask: bool = False) -> Attempt:
        """Send, retrying at once as often as the policy allows. Never raises.

        ``ask``: it may have been sent before, so find out first whether that took place.
        """
        attempt = Attempt(delivery=delivery, started=self._context.clock())
        request = self._prepared(attempt)
        if request is None or self._stubbed(attempt) or (ask and self._took_place(request, attempt)):
            return attempt
        self._send([(attempt, request)], breaker)
        return attempt

    def attempt_all(self, deliveries: Sequence[Delivery], breaker: Callable[[], BreakerState]) -> list[Attempt]:
        """As :meth:`attempt`, all of one operation in one call; each fares by itself."""
        attempts = [Attempt(delivery=delivery, started=self._context.clock()) for delivery in deliveries]
        prepared = [(attempt, self._prepared(attempt)) for attempt in attempts]
        calls = [(attempt, request) for attempt, request in prepared if request and not self._stubbed(attempt)]
        if calls:
            self._send(calls, breaker)
        return attempts

    def _prepared(self, attempt: Attempt) -> Request | None:
        try:
            return self._request(attempt.delivery)
        except Exception as error:
            attempt.error = self._kept(error, "prepare", attempt.delivery)
            return None

    def _stubbed(self, attempt: Attempt) -> bool:
        """Whether it came of a test message that must not get out; it is answered here, as the operation says."""
        if self._endpoint.test_messages == "pass" or not attempt.delivery.message.is_test:
            return False
        common = self._operations[attempt.operation].common
        if common.reply and common.test_reply is None:
            attempt.error = RoutingError(
                f"{self._endpoint.name}.{attempt.operation} has no test_reply: say what a test message is answered"
            )
        else:
            attempt.reply = Reply(detail="test message: not sent", body=_encode(common.test_reply), content_type=JSON)
        return True

    def _took_place(self, request: Request, attempt: Attempt) -> bool:
        """Whether there is nothing left to send: it took place, or that cannot be found out now."""
        attempt.sent = True
        try:
            attempt.reply = self._adapter.took_place(request)
        except BaseException as error:  # whatever it is: it may have taken place as before
            attempt.error = Unresolved(self._kept(error, "ask about", attempt.delivery))
            attempt.doubtful = True
        return attempt.reply is not None or attempt.error is not None

    def _send(self, calls: Sequence[Call], breaker: Callable[[], BreakerState]) -> None:
        for _ in calls:
            self._budget.called()
        while failed := self._try(calls):
            calls = [call for call in failed if self._again(call[0], breaker())]
            if not calls:
                return
            self._stopping.wait(random.random() * self._context.jitter)

    def _try(self, calls: Sequence[Call]) -> list[Call]:
        """One try of each; those that failed."""
        for attempt, _ in calls:
            attempt.tries += 1
            attempt.sent = True
        for (attempt, _), outcome in zip(calls, self._outcomes([request for _, request in calls]), strict=True):
            self._note(attempt, outcome)
        return [call for call in calls if call[0].error is not None]

    def _outcomes(self, requests: Sequence[Request]) -> Sequence[Reply | BaseException]:
        """What became of each. An adapter's bug (or sys.exit) must not lose the message."""
        try:
            self._context.point("endpoint: before effect")
            outcomes = [self._adapter.send(requests[0])] if len(requests) == 1 else self._adapter.send_all(requests)
            self._context.point("endpoint: after effect")
            if len(outcomes) != len(requests):
                raise RuntimeError(f"{len(outcomes)} outcomes for {len(requests)} messages")
            return outcomes
        except BaseException as error:
            return [error] * len(requests)

    def _note(self, attempt: Attempt, outcome: Reply | BaseException) -> None:
        if not isinstance(outcome, BaseException):
            attempt.reply, attempt.error = outcome, None
            return
        attempt.error = self._kept(outcome, "send", attempt.delivery)
        attempt.doubtful = attempt.doubtful or not attempt.harmless or not isinstance(outcome, EsbError)

    def _kept(self, error: BaseException, what: str, delivery: Delivery) -> EsbError:
        """The error as it is kept; what is none of the bus's is a bug: recovery parks its message."""
        if isinstance(error, EsbError):
            return without_frames(error)
        times = self._unexpected[type(error).__name__, what] = self._unexpected[type(error).__name__, what] + 1
        if times <= TRACES or times % EACH == 0:  # a bug that strikes every message must not fill the log
            trace = self._context.journal().text("".join(traceback.format_exception(error)), delivery.message)
            name = self._endpoint.name
            log.error("unexpected error", endpoint=name, while_trying_to=what, times=times, trace=trace)
        return InternalError(f"unexpected {type(error).__name__} in adapter or format: {error}")

    def _again(self, attempt: Attempt, breaker: BreakerState) -> bool:
        assert attempt.error is not None
        now = self._context.clock()
        failure = failure_of(
            attempt.error, attempt=attempt.tries, delayed=delays_used(attempt.delivery),
            first_failed=first_failed(attempt.delivery, now), now=now, breaker=breaker,
        )  # fmt: skip
        operation = self._operations[attempt.operation]
        decision = decide(self._endpoint.recovery, operation.effect, operation.in_doubt, failure)
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
