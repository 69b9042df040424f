"""Steps that change the document: ``map`` (message translator) and ``set`` (content enricher, from the document)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, Field, RootModel, model_validator

from esb.config.components import Scope, Step
from esb.config.mappings import plain
from esb.config.models import InlineMapping
from esb.errors import MappingError
from esb.flow.step import Kind, Sketch
from esb.flow.work import Action, Document, Work
from esb.mapping import Fields, Node, parse
from esb.quoting import quote

if TYPE_CHECKING:
    from esb.flow.context import Context

MappingRef = str | InlineMapping  # a mapping's name, or one written in place


def named(ref: MappingRef | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The mappings and contracts that a reference names: itself, or the target of one written in place."""
    if isinstance(ref, InlineMapping):
        return (), (ref.target,) if ref.target else ()
    return ((ref,) if ref else ()), ()


class MapSettings(RootModel[MappingRef]):
    """``map: name`` or ``map: {to: contract, set: {…}}``."""

    model_config = ConfigDict(frozen=True)


class Map(Kind):
    """The document becomes what the mapping makes of it, and is checked against the mapping's target contract."""

    kind: ClassVar[str] = "map"
    summary = "Make another document of this one."
    Settings = MapSettings

    @classmethod
    def target(cls, settings: MapSettings) -> str:
        return settings.root if isinstance(settings.root, str) else ""

    @classmethod
    def sketch(cls, settings: MapSettings) -> Sketch:
        mappings, contracts = named(settings.root)
        return Sketch(cls.target(settings) or "in place", mappings=mappings, contracts=contracts)

    @classmethod
    def check(cls, settings: MapSettings, scope: Scope) -> Scope:
        return scope.mapping(settings.root, ())

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        ref = step.settings.root
        convert = context.mapping(ref, step)
        outcome = ref if isinstance(ref, str) else ref.target or "mapped"

        def run(work: Work) -> bool:
            work.at = step
            work.document = convert(work)
            work.trace(outcome)
            return True

        return run


class SetSettings(RootModel[dict[str, Any]]):
    """Fields by name, each with a leaf as in a mapping; a nested mapping goes into a nested object."""

    model_config = ConfigDict(frozen=True)
    root: dict[str, Any] = Field(min_length=1)

    @model_validator(mode="after")
    def _fields(self) -> SetSettings:
        words = {"const", "from", "each"} & self.root.keys()
        if words:
            raise ValueError(f"set takes fields by name; one named {min(words)} is written {{set: {{…}}}}")
        return self


class Set(Kind):
    """Puts fields into the document and leaves the others as they are.

    All leaves see the document as it was before the step. A leaf that gives nothing changes nothing. The contract in
    force need not hold afterwards; its fields and the new ones are known.
    """

    kind: ClassVar[str] = "set"
    summary = "Add or change fields of the document."
    Settings = SetSettings

    @classmethod
    def sketch(cls, settings: SetSettings) -> Sketch:
        return Sketch(", ".join(settings.root))

    @classmethod
    def check(cls, settings: SetSettings, scope: Scope) -> Scope:
        scope.mapping(InlineMapping(set=settings.root), ())
        return scope.with_fields(settings.root)

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        fields = plain(step.settings.root)
        merge = merging(fields, step, context)
        outcome = ", ".join(fields)

        def run(work: Work) -> bool:
            work.at = step
            before = work.document
            work.document = Document(merge(work, before.value), before.type, 0)
            work.trace(outcome)
            return True

        return run


def merging(fields: Mapping[str, Any], step: Step, context: Context) -> Callable[[Work, Any], dict[str, Any]]:
    """A value with fields put into it, as a function; the leaves see the document at hand."""
    values = context.fields(fields, step)
    shape = _shape(parse(fields))

    return lambda work, value: _merged(value, values(work), shape)


_Shape = Mapping[str, Any]  # the nested objects among the fields: name -> shape


def _shape(node: Node) -> _Shape:
    fields = node.fields if isinstance(node, Fields) else ()
    return {name: _shape(child) for name, child in fields if isinstance(child, Fields)}


def _merged(old: Any, new: Mapping[str, Any], shape: _Shape, path: str = "") -> dict[str, Any]:
    """A copy of ``old`` with ``new`` in it. Nested objects of the step are merged; what a leaf gave is put as it is."""
    if not isinstance(old, dict):
        raise MappingError(
            f"set needs an object {f'at {path}' if path else 'as document'}, not {quote(old)}", leaf=path
        )
    merged = {**old, **new}
    for name, deeper in shape.items():
        if name in old and old[name] is not None:
            merged[name] = _merged(old[name], new.get(name) or {}, deeper, f"{path}.{name}" if path else name)
    return merged
