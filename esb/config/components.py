"""The open sets that config is checked against: adapter kinds, formats and steps.

Config lies below the flow engine, so it learns what steps exist from its caller (the composition root). A step kind
says itself what its settings refer to, through the :class:`Scope` that the checker hands it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Protocol

import msgspec
from pydantic import BaseModel, BeforeValidator, ValidationInfo, WithJsonSchema

from esb.masking import Mask
from esb.ports import Adapter, Format

Path = tuple[str | int, ...]  # from the step's settings to a value inside, ("when",) or ("do", 0, "send")


class Scope(Protocol):
    """What is known at one place of a flow: the contract in force. The checker implements it; findings go there."""

    def expression(self, text: Any, at: Path, *, boolean: bool = False, shown: bool = False) -> None:
        """``text`` is a JSONata expression (or a constant): check it, and its paths against the contract in force.

        ``shown``: what it gives is stored, and shown to people.
        """
        ...

    def field(self, path: str, at: Path) -> None:
        """``path`` names a field by the names on the way to it, as JSONata writes them: it is never meant as text."""
        ...

    def mapping(self, ref: Any, at: Path) -> Scope:
        """``ref`` names a mapping or is one written inline; what is in force behind it."""
        ...

    def contract(self, ref: str, at: Path) -> None:
        """``ref`` must exist, and the document in force goes out under it."""
        ...

    def operation(self, ref: str, at: Path) -> None:
        """``endpoint.operation`` (or an endpoint with just one) must exist and be able to send."""
        ...

    def answered(self, ref: str, name: str) -> Scope:
        """In force where the answer of an operation stands in the document under ``name``."""
        ...

    def with_answer(self, ref: str) -> Scope:
        """Here expressions know ``$answer``, what an operation answers."""
        ...

    def with_fields(self, fields: Mapping[str, Any]) -> Scope:
        """In force where these fields were put into the document: a tree with a leaf at each."""
        ...

    def with_row(self, ref: str, at: Path) -> Scope:
        """``ref`` names a lookup; here expressions know ``$answer``, a row of it."""
        ...

    def of_shape(self, schema: Mapping[str, Any]) -> Scope:
        """In force where of the document is left just what this JSON Schema says."""
        ...

    def within(self, name: str) -> Scope:
        """In force where the document lies in a field of another one."""
        ...

    def becomes(self, ref: str, at: Path) -> Scope:
        """``ref`` must exist; the document meets it, and it is in force from here."""
        ...

    def element(self, text: str, lines: str | None = None) -> Scope:
        """In force inside the array that an expression gives; or where several of its elements lie in a field."""
        ...

    def either(self, other: Scope) -> Scope:
        """In force where it may be this one or the other."""
        ...

    def unknown(self) -> Scope:
        """In force where nothing is known about the document any more."""
        ...

    def steps(self, steps: Sequence[Step], at: Path) -> Scope:
        """Check nested steps from here; what is in force behind them."""
        ...

    def control(self, kind: str, name: str, key: str, at: Path) -> None:
        """What is set while the bus runs must exist: an endpoint, a flow, a table, or the step ``key`` of a flow."""
        ...

    def finding(self, at: Path, kind: str, text: str) -> None:
        """Anything else that is wrong."""
        ...


class Hidden(Protocol):
    """What contracts hide, and where it goes. The masks of a bus are made with it."""

    def reply(self, ref: str) -> Mask:
        """Of the document that ``endpoint.operation`` answers."""
        ...

    def taken(self, ref: str, fields: Mapping[str, Any]) -> Mask:
        """Of the fields (a tree of leaves) that are taken from ``$answer``, what ``endpoint.operation`` answers."""
        ...

    def any(self) -> Mask:
        """Of a document that may be of any contract."""
        ...

    def inside(self, text: str) -> Mask:
        """Of what an expression takes out of a document that may be of any contract."""
        ...


class Step(msgspec.Struct, frozen=True):
    """One parsed step: ``{kind: settings, name: …}``. ``settings`` is an instance of its kind's model."""

    kind: str
    settings: Any
    name: str  # unique within its flow; given, or made as kind:target[:n]
    file: str = ""
    line: int = 0
    column: int = 0
    on_error: tuple[Step, ...] = ()


def _nested(value: Any, info: ValidationInfo) -> Any:
    parse = (info.context or {}).get("steps")
    return parse(value) if parse else value


def nested(value: Any) -> Iterator[Step]:
    """Every step in a value: a step, what is below it, or a list of such."""
    if isinstance(value, Step):
        yield value
        yield from nested((value.on_error, vars(value.settings)))
    elif isinstance(value, dict):
        yield from nested(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from nested(one)
    elif hasattr(value, "model_fields_set"):
        for one in vars(value).values():
            yield from nested(one)


# A settings field that holds further steps: one step or a list of them in YAML, ``tuple[Step, ...]`` after loading.
# The loader hands its parser in as the validation context; in code, pass the tuple itself.
Steps = Annotated[Any, BeforeValidator(_nested), WithJsonSchema({"x-steps": True})]


class StepKind(Protocol):
    """A step as config sees it; ``esb.flow`` has the other half."""

    kind: ClassVar[str]
    Settings: ClassVar[type[BaseModel]]
    beside: ClassVar[tuple[str, ...]]

    @classmethod
    def target(cls, settings: Any) -> str:
        """The word that makes the default name ``kind:target`` (a mapping's name, an endpoint …), or ""."""
        ...

    @classmethod
    def kept(cls, settings: Any, hidden: Hidden) -> Mask:
        """What contracts hide, where the documents have it that the step makes; see :class:`Hidden`."""
        ...

    @classmethod
    def overtaking(cls, settings: Any) -> str:
        """Why a message may pass another one there, as the end of a sentence; "" where none does."""
        ...

    @classmethod
    def check(cls, settings: Any, scope: Scope) -> Scope:
        """Report every reference and expression; return what is in force behind the step."""
        ...


class Components(msgspec.Struct, frozen=True):
    """All kinds known to a bus, by the word used in YAML."""

    adapters: Mapping[str, type[Adapter]]
    formats: Mapping[str, type[Format]]
    steps: Mapping[str, type[StepKind]]
