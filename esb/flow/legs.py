"""Legs: a flow that waits for an answer ends here and goes on there, on any machine.

A call leaves a :class:`Continuation` behind, which travels with the request and comes back with the answer. What
follows a call is known when the flow is compiled: a :class:`Rest`, from the step behind it outwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from esb.config.components import Step, nested
from esb.errors import MessageError, without_frames
from esb.flow.result import Failure, StepTrace, Ticket
from esb.flow.work import NOTHING_OUT, Action, Document, Round, Work
from esb.message import Message

Collect = Callable[["Work", Any, Failure | None], bool]
Way = Literal["answer", "again", "failed", "behind", "on"]


class Continuation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a message goes on.

    ``go`` tells how: with the answer to come, by asking again, past the step because a person wants it so (``behind``),
    or because the step lets it go (``on``).
    """

    flow: str
    definition: str  # the version it was under way in
    step: str  # the call
    message: Message  # whose way this is, without its body
    type: str = ""  # of the document
    version: int = 0
    document: msgspec.Raw = msgspec.Raw(b"null")
    steps: list[StepTrace] = []  # what was done before, for the journey
    sent: int = 0  # commands so far, this call among them
    published: int = 0
    asked: int = 0  # failed answers so far
    error: Failure | None = None  # what an ``on_error`` under way is about
    go: Way = "answer"
    rounds: tuple[Round, ...] = ()  # of steps that repeat, and are under way
    branch: str = ""  # which of several answers this is
    behind: list[Ticket] = []  # what waits for this message to be through
    order: str = ""  # the key by which this message keeps its order with others


class Rest:
    """What follows in a block of steps, and then behind the step that the block belongs to.

    ``handler`` is the ``on_error`` around the whole block; behind it the message goes on with ``outer``. ``depth``: in
    how many rounds of repeating steps the block stands.
    """

    __slots__ = ("actions", "depth", "handler", "index", "outer")

    def __init__(
        self, actions: list[Action], index: int, outer: Rest | None, handler: Action | None, depth: int = 0
    ) -> None:
        self.actions = actions
        self.index = index
        self.outer = outer
        self.handler = handler
        self.depth = depth

    def run(self, work: Work) -> bool:
        """The steps of this block that are left."""
        return all(action(work) for action in self.actions[self.index :])

    def outwards(self) -> Iterator[Rest]:
        """This one, and those around it."""
        here: Rest | None = self
        while here is not None:
            yield here
            here = here.outer


class Pending(msgspec.Struct, frozen=True):
    """A step as it is gone on from: ``ask`` makes the request, ``take`` puts the answer into the document.

    ``collect``: of a step with several answers, what is done about one of them.
    """

    step: Step
    ask: Action
    take: Callable[[Work, Any], None]
    rest: Rest
    collect: Collect | None = None


def go_on(first: Action, work: Work, rest: Rest) -> bool:
    """Run ``first``, then what follows. What fails goes to the nearest ``on_error`` outwards, or is raised."""
    levels = list(rest.outwards())
    act, level, following = first, 0, 0  # what protects ``act``, and whose steps come after it
    while True:
        try:
            if not act(work):
                return False
        except Exception as cause:
            guard = next((n for n in range(level, len(levels)) if levels[n].handler), None)
            if guard is None:
                raise
            work.rewind(NOTHING_OUT)  # all of this leg is within what the guard protects
            work.turn(work.rounds[: levels[guard].depth])
            act = recovery(levels[guard].handler, cause)
            level = following = guard + 1
            continue
        if following == len(levels):
            return True
        act, level = levels[following].run, following
        following += 1


class Leg:
    """One going on: how it begins, and from where it is tried again should it fail."""

    def __init__(self, at: Continuation, failure: Failure | None) -> None:
        """Args: what the call left behind, and why the call failed, where it did."""
        self._at = at
        self._failure = failure
        self._way: Way = "behind" if at.go in ("behind", "on") else "again"
        self._behind: Document | None = None

    def first(self, pending: Pending, answer: Any) -> Action:
        """What is done before the steps behind the call."""
        if self._at.branch and pending.collect is not None:
            collect, failure = pending.collect, self._failure
            return lambda work: collect(work, answer, failure)
        if self._failure is not None:
            return self._fail(pending, self._failure)
        if self._at.go == "again":
            return pending.ask
        return self._pass if self._way == "behind" else self._take(pending, answer)

    def again(self, work: Work) -> Continuation:
        """For the next try. What was asked in vain is asked again, unless an ``on_error`` has it."""
        at, document = self._at, self._behind
        heard = self._failure is not None and self._way == "again"
        return msgspec.structs.replace(
            at,
            go=self._way,
            asked=at.asked + (1 if heard and at.go == "answer" else 0),
            error=self._failure if self._way == "failed" else at.error,
            **({} if document is None else _kept(document)),
        )

    def _take(self, pending: Pending, answer: Any) -> Action:
        def run(work: Work) -> bool:
            pending.take(work, answer)
            work.trace("answered")
            self._way, self._behind = "behind", work.document
            return True

        return run

    def _fail(self, pending: Pending, failure: Failure) -> Action:
        if any(level.handler for level in pending.rest.outwards()):
            self._way = "failed"

        def run(work: Work) -> bool:
            raise CallFailed(failure)

        return run

    def _pass(self, work: Work) -> bool:
        return True


def _kept(document: Document) -> dict[str, Any]:
    return {"type": document.type, "version": document.version, "document": msgspec.Raw(document.body)}


def leave(work: Work, flow: str, version: str, asking: int = 0) -> Continuation:
    """All that is needed to go on behind the step under way. ``asking``: how many commands it sends itself."""
    base, document = work.base, work.document
    again = base is not None and base.go == "again" and base.step == work.at.name
    return Continuation(
        flow=flow,
        definition=version,
        step=work.at.name,
        message=_bare(work.message),
        type=document.type,
        version=document.version,
        document=msgspec.Raw(document.body),
        steps=[] if work.part else work.steps,
        sent=(base.sent if base else 0) + len(work.sends) + (0 if again else asking) if not work.part else asking,
        published=(base.published if base else 0) + len(work.events) if not work.part else 0,
        asked=base.asked if base and again else 0,
        error=work.error,
        rounds=work.rounds,
        behind=base.behind if base else [],
        order=base.order if base else work.order,
    )


def _bare(message: Message) -> Message:
    return msgspec.structs.replace(message, body=b"") if message.body else message


def guarded(action: Action, handler: Action) -> Action:
    """A step with its ``on_error``: nothing goes out of what failed, and the message goes on behind the step."""

    def run(work: Work) -> bool:
        mark, rounds = work.mark(), work.rounds
        try:
            return action(work)
        except Exception as cause:
            work.rewind(mark)
            work.turn(rounds)
            return recovery(handler, cause)(work)

    return run


def recovery(handler: Action | None, cause: Exception) -> Action:
    """The steps of an ``on_error`` with ``$error`` bound."""
    assert handler is not None

    def run(work: Work) -> bool:
        failure = failure_of(cause, work.at.name)
        work.trace(f"failed: {failure.kind}")
        work.bind_error(failure)
        return handler(work)

    return run


class CallFailed(MessageError):  # noqa: N818 - says what happened
    """A call was answered with a failure; ``kind`` is that of the failure."""

    def __init__(self, failure: Failure) -> None:
        who = f"{failure.endpoint} answered that it failed: " if failure.endpoint else ""
        super().__init__(f"{who}{failure.text}")
        self.kind = failure.kind
        self.failure = failure


def failure_of(cause: BaseException, step: str) -> Failure:
    """An error as ``$error``."""
    if isinstance(cause, CallFailed):
        return msgspec.structs.replace(cause.failure, step=step)
    error = without_frames(cause) if isinstance(cause, MessageError) else cause
    kind = error.kind if isinstance(error, MessageError) else "internal"
    text = str(error) if isinstance(error, MessageError) else f"unexpected {type(error).__name__}: {error}"
    return Failure(kind=kind, text=text, step=step)


def calls(steps: Any) -> bool:
    """Whether any of these steps waits, for an answer or for other messages."""
    return any(getattr(step.settings, "waits", False) for step in nested(steps))


def resumable(pending: Mapping[str, Pending], name: str, flow: str) -> Pending:
    """The step of that name. Raises ``MessageError`` when the flow has none (any more)."""
    if name not in pending:
        raise MessageError(
            f"the message waited at the step {name!r}, which is no longer in the flow {flow}: put one of that name "
            "back and retry, or discard the message"
        )
    return pending[name]
