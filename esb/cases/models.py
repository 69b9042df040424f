"""Test cases as YAML: what is given, what endpoints answer, what follows from it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, Field, model_validator

from esb.config.models import Name
from esb.ports import Duration, Settings


class MappingFailure(Settings):
    """How a mapping fails. What is not said is not looked at."""

    leaf: str | None = Field(None, description="Path of the leaf in the target, such as lines[1].sku.")
    kind: str | None = Field(None, description="mapping, or contract when the result breaks the target contract.")
    contains: str | None = Field(None, description="A piece of the error's text.")


class MappingCase(Settings):
    """One document in, one out: ``expect`` all of it, ``expect_partial`` what is named, or an ``error``."""

    name: str = Field(description="What the case shows, in a sentence.")
    given: Any = Field(description="The document, or {file: path} with JSON, from the bus directory.")
    expect: Any = Field(None, description="The whole result.")
    expect_partial: Any = Field(None, description="The fields named here; others are not looked at.")
    error: MappingFailure | None = Field(None, description="How it fails.")

    @model_validator(mode="after")
    def _one_expectation(self) -> MappingCase:
        if len(self.model_fields_set & {"expect", "expect_partial", "error"}) != 1:
            raise ValueError("a case needs one of expect, expect_partial and error")
        return self


class MappingCases(Settings):
    """A file of cases for a mapping."""

    mapping: Name = Field(description="The mapping under test.")
    cases: tuple[MappingCase, ...] = Field(min_length=1, description="The cases, in order.")


Fared = Literal[
    "completed", "filtered", "failed", "waiting", "duplicate", "retrying", "in doubt", "unsubscribed", "discarded"
]
Ended = Literal["completed", "parked", "in doubt", "rejected", "retrying", "discarded", "compensated"]
SOURCES = ("document", "file", "text", "base64", "message", "test_message")


class Switched(Settings):
    """What people set while the bus runs."""

    detours: dict[str, bool] = Field(default_factory=dict, description="Steps, and whether they are switched on.")
    rates: dict[str, str] = Field(default_factory=dict, description="Steps that throttle, and a rate such as 10/1s.")
    tables: dict[str, dict[str, str]] = Field(default_factory=dict, description="Tables: key: word, or several words.")


class Given(Settings):
    """What arrives, and when: a document; or a file, a text or bytes as they are read ``through`` an endpoint.

    With ``after`` alone nothing arrives; time passes.
    """

    document: Any = Field(None, description="The document that arrives.")
    file: str | None = Field(None, description="Path from the bus directory: JSON, or what the endpoint reads.")
    text: str | None = Field(None, description="What the endpoint reads, as text in UTF-8.")
    base64: str | None = Field(None, description="What the endpoint reads, in Base64.")
    message: str | None = Field(None, description="Id of a message that the bus has stored.")
    test_message: Literal[True] | None = Field(None, description="The test message of the flow under test.")
    through: Name | None = Field(None, description="The endpoint that reads the bytes, with its format and records.")
    headers: dict[str, str] = Field(default_factory=dict, description="Application headers of the message.")
    subject: str | None = Field(None, description="The business key; by default what the contract's x-subject gives.")
    time: AwareDatetime | None = Field(
        None, description="The message's time; when not said, that of the case, which begins at 2026-01-01T00:00:00Z."
    )
    id: str | None = Field(None, description="The same for what comes twice; every other one has an id of its own.")
    after: Duration = Field(0.0, description="How much time passes first, counted from what arrived before.")
    switches: Switched | None = Field(None, description="What somebody sets first.")
    purged: str | None = Field(
        None, min_length=1, description="Why somebody purges the queue of the flow before it gets to this."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Given:
        sources = [name for name in SOURCES if name in self.model_fields_set]
        if not sources and self.model_fields_set and self.model_fields_set <= {"after", "switches"}:
            return self
        if len(sources) != 1:
            raise ValueError(f"a case is given one of {', '.join(SOURCES)}")
        if self.through and sources[0] in ("document", "message", "test_message"):
            raise ValueError("only a file, a text or bytes are read through an endpoint")
        if sources[0] in ("text", "base64") and not self.through:
            raise ValueError(f"say through which endpoint the {sources[0]} comes")
        return self

    @property
    def arrives(self) -> bool:
        """Whether it is more than time that passes."""
        return any(name in self.model_fields_set for name in SOURCES)


class Expected(Settings):
    """A message that went out. Of what is not said nothing is looked at."""

    document: Any = Field(None, description="The whole document.")
    partial: Any = Field(None, description="The fields named here; others are not looked at.")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers that it has, among others.")
    subject: str | None = Field(None, description="Its business key.")
    at: Duration | None = Field(None, description="When it went out, counted from the beginning of the case.")

    @model_validator(mode="after")
    def _one_form(self) -> Expected:
        if {"document", "partial"} <= self.model_fields_set:
            raise ValueError("expect the document or a part of it, not both")
        return self


class ExpectedSend(Expected):
    """A command to an endpoint."""

    to: str = Field(description="endpoint.operation, or the endpoint alone.")
    attempts: int | None = Field(None, description="How often it was tried.")
    status: Ended | None = Field(None, description="How it ended, as the journey says.")


class ExpectedEvent(Expected):
    """A published event."""

    event: str = Field(description="The event's type and version.")


class FlowFailure(Settings):
    """How a flow, or a part of a split, fails. What is not said is not looked at."""

    step: str | None = Field(None, description="Name of the step, or in:<endpoint> for what does not come in.")
    kind: str | None = Field(None, description="contract, mapping, expression, decode …")
    contains: str | None = Field(None, description="A piece of the error's text.")


class ExpectedParked(FlowFailure):
    """A message that waits for a person."""

    place: str | None = Field(None, description="in:<endpoint>, flow:<name>, saga:<name> or out:<endpoint>.")
    subject: str | None = Field(None, description="Its business key.")


class Outcome(Settings):
    """What follows from the given. Lists are complete and in order; one that is not there is not looked at."""

    sends: tuple[ExpectedSend, ...] | None = Field(None, description="Commands to endpoints.")
    calls: tuple[ExpectedSend, ...] | None = Field(None, description="Calls: what is asked.")
    publishes: tuple[ExpectedEvent, ...] | None = Field(None, description="Events.")
    status: Fared | None = Field(
        None,
        description="How the message fared: completed when not said, or failed where an error is expected. Of several "
        "messages the worst counts.",
    )
    error: FlowFailure | None = Field(None, description="How the message fails.")
    failed_parts: tuple[FlowFailure, ...] = Field((), description="Parts of a split that fail by themselves.")
    parked: tuple[ExpectedParked, ...] | None = Field(
        None, description="All that waits for a person in the end, wherever; in any order."
    )


class CallAnswer(Settings):
    """What an endpoint answers to one attempt: a document, or a failure by its kind."""

    done: Any = Field(None, description="The document of an answer.")
    failed: str | None = Field(None, description="The kind of a failure: refused, unreachable, busy, interrupted …")
    text: str | None = Field(None, description="What the failure says.")
    asked: Any = Field(None, description="What has these fields is answered so, whenever it comes.")

    @model_validator(mode="after")
    def _one(self) -> CallAnswer:
        if len(self.model_fields_set & {"done", "failed"}) != 1:
            raise ValueError("an answer is either done or failed")
        return self


OneAnswer = Literal["nothing"] | CallAnswer
Answers = dict[str, OneAnswer | tuple[OneAnswer, ...]]
_ANSWERS = (
    "By endpoint.operation, or endpoint: {done: document}, {failed: kind}, nothing, or a list of such, one an attempt; "
    "the last one holds for all that follow."
)


class FlowCase(Settings):
    """Messages in, everything that goes out."""

    name: str = Field(description="What the case shows, in a sentence.")
    given: Given | tuple[Given, ...] = Field(description="What arrives, or a list of that.")
    answers: Answers = Field(default_factory=dict, description=_ANSWERS)
    expect: Outcome = Field(description="What follows from it.")


class FlowCases(Settings):
    """A file of cases for a flow."""

    flow: Name = Field(description="The flow under test.")
    also: tuple[Name, ...] = Field((), description="Other flows that run, too.")
    cases: tuple[FlowCase, ...] = Field(min_length=1, description="The cases, in order.")


class SagaOutcome(Settings):
    """How the saga stands when nothing more happens by itself. Lists are complete and in order."""

    status: Literal["completed", "compensated", "stuck", "running"] = Field(description="Its state.")
    step: str | None = Field(None, description="The step at which it is stuck.")
    calls: tuple[ExpectedSend, ...] | None = Field(None, description="Every call, compensations among them.")
    publishes: tuple[ExpectedEvent, ...] | None = Field(None, description="Events.")
    contains: str | None = Field(None, description="A piece of the reason why it turned back or is stuck.")
    parked: tuple[ExpectedParked, ...] | None = Field(
        None, description="All that waits for a person in the end, wherever; in any order."
    )


class SagaCase(Settings):
    """A trigger, and what follows from it."""

    name: str = Field(description="What the case shows, in a sentence.")
    given: Given | tuple[Given, ...] = Field(description="What starts the saga, or a list of what arrives.")
    answers: Answers = Field(default_factory=dict, description=_ANSWERS)
    expect: SagaOutcome = Field(description="What follows from it; of several sagas the first.")


class SagaCases(Settings):
    """A file of cases for a saga."""

    saga: Name = Field(description="The saga under test.")
    also: tuple[Name, ...] = Field((), description="Flows that run, too.")
    cases: tuple[SagaCase, ...] = Field(min_length=1, description="The cases, in order.")


Case = MappingCase | FlowCase | SagaCase


def arrivals(given: Given | tuple[Given, ...]) -> tuple[Given, ...]:
    """What is given, one after the other."""
    return given if isinstance(given, tuple) else (given,)
