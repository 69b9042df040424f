"""Steps for parts of a document: ``keep`` and ``remove`` (Content Filter), ``wrap`` and ``unwrap`` (Envelopes)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, RootModel, model_validator

from esb import ports
from esb.config.components import Hidden, Scope, Step
from esb.config.models import ContractRef, InlineMapping
from esb.config.shorthand import Shorthand
from esb.errors import MappingError
from esb.flow.step import Kind, Sketch
from esb.flow.transformation import merging
from esb.flow.work import Action, Document, Work
from esb.masking import Mask
from esb.quoting import quote

if TYPE_CHECKING:
    from esb.flow.context import Context

FieldPath = Annotated[str, Field(pattern=r"^[^.`\s\[\]]+(\.[^.`\s\[\]]+)*$", examples=["customer.name"])]
_Tree = Mapping[str, Any]  # the named fields as nested objects; what is empty is a field itself
_PLAIN = re.compile(r"[^\W\d]\w*")


class FieldsSettings(RootModel[tuple[FieldPath, ...]]):
    """Fields by their paths, such as ``[orderId, customer.id, lines.sku]``; lists are looked through."""

    model_config = ConfigDict(frozen=True)
    root: tuple[FieldPath, ...] = Field(min_length=1)

    @property
    def tree(self) -> _Tree:
        """The paths as one tree; a field goes before those within it."""
        tree: dict[str, Any] = {}
        for path in self.root:
            if not any(path.startswith(f"{whole}.") for whole in self.root):
                reduce(lambda here, name: here.setdefault(name, {}), path.split("."), tree)
        return tree


class _Fields(Kind):
    """What ``keep`` and ``remove`` share."""

    Settings = FieldsSettings

    @classmethod
    def sketch(cls, settings: FieldsSettings) -> Sketch:
        return Sketch(", ".join(settings.root))

    @classmethod
    def _paths(cls, settings: FieldsSettings, scope: Scope) -> None:
        for number, path in enumerate(settings.root):
            names = (name if _PLAIN.fullmatch(name) else f"`{name}`" for name in path.split("."))
            scope.field(".".join(names), (number,))

    @classmethod
    def _compile(cls, step: Step, change: Callable[[Any, _Tree], Any]) -> Action:
        tree, outcome = step.settings.tree, ", ".join(step.settings.root)

        def run(work: Work) -> bool:
            work.at = step
            before = work.document
            if not isinstance(before.value, dict):
                raise MappingError(f"{step.kind} needs an object as document, not {quote(before.value)}")
            work.document = Document(change(before.value, tree), before.type, 0)
            work.trace(outcome)
            return True

        return run


class Keep(_Fields):
    """Keeps the named fields of the document and leaves out all others.

    A field that is not there is no mistake; ``esb check`` knows those that the contract in force does not have.
    """

    kind: ClassVar[str] = "keep"
    summary = "Leave out all but some fields."

    @classmethod
    def check(cls, settings: FieldsSettings, scope: Scope) -> Scope:
        cls._paths(settings, scope)
        return scope.of_shape(_schema(settings.tree))

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        return cls._compile(step, _kept)


class Remove(_Fields):
    """Leaves out the named fields of the document and keeps all others."""

    kind: ClassVar[str] = "remove"
    summary = "Leave out some fields."

    @classmethod
    def check(cls, settings: FieldsSettings, scope: Scope) -> Scope:
        cls._paths(settings, scope)
        return scope

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        return cls._compile(step, _without)


def _schema(tree: _Tree) -> dict[str, Any]:
    return {"properties": {name: _schema(below) for name, below in tree.items()}} if tree else {}


def _kept(value: Any, tree: _Tree) -> Any:
    """``value`` has something within, or the tree is at its end."""
    if not tree:
        return value
    if isinstance(value, list):
        return [_kept(one, tree) for one in value if isinstance(one, dict | list)]
    found = ((name, value[name], below) for name, below in tree.items() if name in value)
    return {name: _kept(one, below) for name, one, below in found if not below or isinstance(one, dict | list)}


def _without(value: Any, tree: _Tree) -> Any:
    if isinstance(value, dict) and tree:
        return dict(_rest(value, tree))
    return [_without(one, tree) for one in value] if isinstance(value, list) and tree else value


def _rest(value: Mapping[str, Any], tree: _Tree) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        below = tree.get(name)
        if below is None:
            yield name, inner
        elif below:
            yield name, _without(inner, below)


class WrapSettings(ports.Settings):
    """``{as: body, set: {header: {…}}, to: contract}``."""

    name: str = Field(alias="as", min_length=1, description="The field of the envelope that takes the document.")
    fields: dict[str, Any] = Field(
        default_factory=dict, alias="set", description="The other fields of the envelope, as in the step set."
    )
    target: ContractRef | None = Field(None, alias="to", description="Contract of the envelope; it must meet it.")

    @model_validator(mode="after")
    def _one_place(self) -> WrapSettings:
        if self.name in self.fields:
            raise ValueError(f"{self.name} takes the document, and set gives it another value: choose another name")
        return self


class Wrap(Kind):
    """Puts the document into an envelope: a new document with it under ``as`` and the fields of ``set`` beside it."""

    kind: ClassVar[str] = "wrap"
    summary = "Put the document into an envelope."
    Settings = WrapSettings

    @classmethod
    def target(cls, settings: WrapSettings) -> str:
        return settings.name

    @classmethod
    def sketch(cls, settings: WrapSettings) -> Sketch:
        return Sketch(settings.name, contracts=(settings.target,) if settings.target else ())

    @classmethod
    def kept(cls, settings: WrapSettings, hidden: Hidden) -> Mask:
        return hidden.any().below(settings.name)

    @classmethod
    def check(cls, settings: WrapSettings, scope: Scope) -> Scope:
        if settings.fields:
            scope.mapping(InlineMapping(set=settings.fields), ("set",))
        if settings.target:
            return scope.within(settings.name).becomes(settings.target, ("to",))
        return scope.within(settings.name).with_fields(settings.fields)

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: WrapSettings = step.settings
        name, outcome = settings.name, settings.target or settings.name
        values = context.fields(settings.fields, step) if settings.fields else _nothing
        typed = _typed(settings.target, step, context)

        def run(work: Work) -> bool:
            work.at = step
            before = work.document
            work.document = typed({**values(work), name: before.value}, before.type)
            work.trace(outcome)
            return True

        return run


class UnwrapSettings(Shorthand):
    """``unwrap: expression``, or ``{from: expression, set: {…}, to: contract}``."""

    short: ClassVar[str] = "from"
    source: str = Field(alias="from", description="A JSONata expression giving what is in the envelope.")
    fields: dict[str, Any] = Field(
        default_factory=dict, alias="set", description="What it needs of the envelope, as in the step set."
    )
    target: ContractRef | None = Field(None, alias="to", description="Contract of what is inside; it must meet it.")


class Unwrap(Kind):
    """Takes the document out of its envelope; an envelope with nothing in it fails the message.

    The leaves of ``set`` see the envelope, and go into the document that comes out.
    """

    kind: ClassVar[str] = "unwrap"
    summary = "Take the document out of an envelope."
    Settings = UnwrapSettings

    @classmethod
    def sketch(cls, settings: UnwrapSettings) -> Sketch:
        return Sketch(settings.source, contracts=(settings.target,) if settings.target else ())

    @classmethod
    def kept(cls, settings: UnwrapSettings, hidden: Hidden) -> Mask:
        return hidden.inside(settings.source)

    @classmethod
    def check(cls, settings: UnwrapSettings, scope: Scope) -> Scope:
        scope.expression(settings.source, ("from",))
        if settings.fields:
            scope.mapping(InlineMapping(set=settings.fields), ("set",))
        if settings.target:
            return scope.element(settings.source).becomes(settings.target, ("to",))
        return scope.element(settings.source).with_fields(settings.fields)

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: UnwrapSettings = step.settings
        source, inside = settings.source, context.expression(settings.source, step)
        add = merging(settings.fields, step, context) if settings.fields else None
        typed, outcome = _typed(settings.target, step, context), settings.target or settings.source

        def run(work: Work) -> bool:
            work.at = step
            value = inside(work)
            if value is None:
                raise MappingError(f"there is nothing in the envelope at `{source}`")
            work.document = typed(value if add is None else add(work, value), work.document.type)
            work.trace(outcome)
            return True

        return run


def _nothing(work: Work) -> dict[str, Any]:
    return {}


def _typed(target: str | None, step: Step, context: Context) -> Callable[[Any, str], Document]:
    """A value as a document, which has met its contract where there is one."""
    if target is None:
        return lambda value, type: Document(value, type, 0)
    contract = context.contract(target, step)

    def typed(value: Any, type: str) -> Document:
        document = Document(value, contract.type, contract.version)
        document.meet(contract)
        return document

    return typed
