"""What is in force at each step of a flow: the :class:`~esb.config.components.Scope` that steps report to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, get_args

import msgspec

from esb.config.components import Path, Scope, Step, StepKind
from esb.config.definition import LoadedEndpoint
from esb.config.expressions import Context, ExpressionChecker, list_view, missing_paths
from esb.config.fields import Node, View, blank, either, shape_of, view_of
from esb.config.findings import Kind, Report, nearest, shown
from esb.config.leaves import LeafChecker, top_expressions
from esb.config.mappings import plain
from esb.config.masks import check_key, check_relabelled, check_whole, kept_of
from esb.config.models import InlineMapping
from esb.config.steps import ParsedFlow
from esb.config.tree import Map, Spot, root
from esb.errors import MappingError
from esb.mapping import parse
from esb.masking import Tree

KINDS = frozenset(get_args(Kind))
Variables = Mapping[str, View | None]
_MESSAGE: Variables = MappingProxyType({"message": None})


class Use(msgspec.Struct, frozen=True):
    """One reference: which flow, to what, where."""

    flow: str
    ref: str
    spot: Spot


class Controlled(msgspec.Struct, frozen=True):
    """Something that a message sets: a flow, a table, or the step ``key`` of a flow that has this kind."""

    kind: str
    name: str
    key: str
    spot: Spot


class World(msgspec.Struct):
    """All that flows can refer to, what is broken (referring to it is no further mistake), and what was referred to."""

    report: Report
    steps: Mapping[str, type[StepKind]]
    schemas: Mapping[str, Any]
    endpoints: Mapping[str, LoadedEndpoint]
    mappings: Mapping[str, Map]  # name -> document
    lookups: Mapping[str, Any]
    broken: Mapping[str, set[str]]
    expressions: ExpressionChecker
    leaves: LeafChecker
    everywhere: Tree | None = None  # what is hidden in every document
    published: list[Use] = []
    controlled: list[Controlled] = []
    used: set[tuple[str, str]] = set()  # ("mapping", name) …

    def needs_contract(self, ref: Any, spot: Spot) -> None:
        """A contract that is referred to must exist."""
        self.used.add(("contract", str(ref)))
        if isinstance(ref, str) and ref not in self.schemas:
            text = f"There is no contract {ref!r}: it would lie at contracts/{ref}.json."
            self.report.at(spot, "unknown-contract", text, hint=nearest(ref, self.schemas))


class FlowScope:
    """One place in a flow. Immutable: what changes the document gives a new scope."""

    def __init__(
        self, world: World, parsed: ParsedFlow, spot: Spot, view: View | None, variables: Variables = _MESSAGE
    ) -> None:
        """Args: what there is to refer to, the flow, where this place stands, what is known of the document here, and
        the variables that expressions may use."""
        self.world = world
        self.parsed = parsed
        self.spot = spot
        self.view = view
        self.variables = variables

    def _with(self, view: View | None) -> FlowScope:
        return FlowScope(self.world, self.parsed, self.spot, view, self.variables)

    def _knowing(self, name: str, view: View | None) -> FlowScope:
        return FlowScope(self.world, self.parsed, self.spot, self.view, {**self.variables, name: view})

    def __eq__(self, other: object) -> bool:
        """The same is known: branches that end alike go on alike."""
        return isinstance(other, FlowScope) and self.view == other.view

    __hash__ = None  # type: ignore[assignment]

    @property
    def _context(self) -> Context:
        return Context(self.view, self.variables)

    @property
    def _flow(self) -> str:
        return self.parsed.title

    def expression(self, text: Any, at: Path, *, boolean: bool = False, shown: bool = False) -> None:
        """Check an expression or a constant; one that is ``shown`` must give nothing hidden."""
        spot = self.spot.at(*at)
        value = spot.value if isinstance(spot.value, Map) else text
        self.world.expressions.check(value, spot, self._context, boolean=boolean)
        if shown:
            check_key(value, spot, self._context, self.world.report)

    def field(self, path: str, at: Path) -> None:
        """Check the path of a field."""
        self.world.expressions.check_field(path, self.spot.at(*at), self._context)

    def mapping(self, ref: Any, at: Path) -> FlowScope:
        """Check the use of a mapping; its target is in force behind it."""
        spot = self.spot.at(*at)
        if not isinstance(ref, str):
            return self._with(self._inline(ref, spot))
        self.world.used.add(("mapping", ref))
        document = self.world.mappings.get(ref)
        if document is None:
            if ref not in self.world.broken["mapping"]:
                hint = nearest(ref, self.world.mappings)
                self.world.report.at(spot, "unknown-mapping", f"There is no mapping {ref!r}.", hint=hint)
            return self._with(None)
        self._reads(ref, document, spot)
        return self._with(view_of(document.get("to"), self.world.schemas))

    def _inline(self, ref: InlineMapping, spot: Spot) -> View | None:
        if ref.target is not None:
            self.world.needs_contract(ref.target, spot.at("to"))
        target = view_of(ref.target, self.world.schemas)
        tree = spot if spot.value == ref.set else spot.at("set")
        self.world.leaves.check(tree, self._context, target)
        return target

    def _kept(self, fields: Mapping[str, Any]) -> Tree | None:
        """What is hidden of an answer stays hidden in the fields that are taken from it."""
        answer = self.variables.get("answer")
        try:
            return kept_of(answer, parse(plain(fields))) if answer else None
        except MappingError:
            return None  # has its finding where the fields are checked

    def _reads(self, name: str, document: Map, spot: Spot) -> None:
        """A mapping made for another contract must still find its fields in the one in force."""
        if self.view is None or document.get("from") in (None, self.view.ref):
            return
        for leaf in top_expressions(root(document, document.place.file).at("set")):
            for use in missing_paths(leaf.value, self.view):
                text = f"The mapping {name!r} reads {use.text!r}, which {self.view.ref} does not have."
                self.world.report.at(spot, "unknown-path", text, value=name)
                return

    def contract(self, ref: str, at: Path) -> None:
        """The document in force goes out under a contract."""
        spot = self.spot.at(*at)
        self.world.needs_contract(ref, spot)
        self.world.published.append(Use(self._flow, ref, spot))
        self._goes_on(ref, spot)

    def operation(self, ref: str, at: Path) -> None:
        """An endpoint's operation must exist."""
        spot = self.spot.at(*at)
        name, _, operation = str(ref).partition(".")
        endpoint = self.world.endpoints.get(name)
        self.world.used.add(("endpoint", name))
        if endpoint is not None:
            self._operation(endpoint, operation, spot)
        elif name not in self.world.broken["endpoint"]:
            hint = nearest(name, self.world.endpoints)
            hint = f"{hint}.{operation}" if hint and operation else hint
            self.world.report.at(spot, "unknown-endpoint", f"There is no endpoint {name!r}.", hint=hint)

    def _operation(self, endpoint: LoadedEndpoint, operation: str, spot: Spot) -> None:
        known = endpoint.operations
        if not known:
            text = f"The endpoint {endpoint.name!r} has no operations, so nothing can be sent there: add one to it."
            self.world.report.at(spot, "unknown-operation", text)
        elif not operation and len(known) > 1:
            text = f"Say which operation of {endpoint.name!r}: {', '.join(known)}."
            self.world.report.at(spot, "unknown-operation", text)
        elif operation and operation not in known:
            near = nearest(operation, known)
            text = f"The endpoint {endpoint.name!r} has no operation {operation!r}; it has {', '.join(known)}."
            hint = f"{endpoint.name}.{near}" if near else ""
            self.world.report.at(spot, "unknown-operation", text, hint=hint)
        else:
            contract = known[operation or next(iter(known))].common.contract
            if contract:
                self._goes_on(contract, spot)

    def _goes_on(self, ref: str, spot: Spot) -> None:
        check_relabelled(self.view, ref, self.world.everywhere, spot, self.world.report)

    def answered(self, ref: str, name: str) -> FlowScope:
        """In force where the answer of an operation stands under ``name``."""
        found = (self.view or blank(self.world.schemas)).and_also(name, self._reply(ref))
        return self._with(found if self.view or found.hidden is not None else None)

    def with_answer(self, ref: str) -> FlowScope:
        """Here expressions know ``$answer``."""
        return self._knowing("answer", view_of(self._reply(ref), self.world.schemas))

    def with_fields(self, fields: Mapping[str, Any]) -> FlowScope:
        """In force where fields were put into the document."""
        if not fields:
            return self
        try:
            shape = shape_of(parse(plain(fields)))
        except MappingError:
            return self.unknown()  # has its finding where the fields are checked
        kept = self._kept(fields)
        view = self.view or (blank(self.world.schemas) if kept is not None else None)
        return self._with(view.with_shape(shape, kept) if view else None)

    def with_row(self, ref: str, at: Path) -> FlowScope:
        """A lookup must exist; here expressions know ``$answer``, a row of it."""
        self.world.used.add(("lookup", ref))
        table = self.world.lookups.get(ref)
        if table is None:
            hint = nearest(ref, self.world.lookups)
            text = f"There is no lookup file {ref!r}; lookups lie in lookups/*.csv."
            self.world.report.at(self.spot.at(*at), "unknown-lookup", text, hint=hint)
        row = next(iter(table.values()), None) if table else None
        columns = {"properties": {column: {"type": "string"} for column in row}} if isinstance(row, Mapping) else {}
        return self._knowing("answer", View((Node(columns, ref),), self.world.schemas, ref))

    def of_shape(self, schema: Mapping[str, Any]) -> FlowScope:
        """In force where the document is just what a schema says."""
        view = self.view or blank(self.world.schemas)
        return self._with(View((Node(schema, view.ref),), view.schemas, view.ref, view.hidden))

    def within(self, name: str) -> FlowScope:
        """In force where the document lies in a field of another one."""
        view = self.view or blank(self.world.schemas)
        hidden = None if view.hidden is None else {name: view.hidden}
        return self._with(View((Node({"properties": {name: {}}}, view.ref),), view.schemas, view.ref, hidden))

    def becomes(self, ref: str, at: Path) -> FlowScope:
        """A contract must exist, and is in force from here."""
        spot = self.spot.at(*at)
        self.world.needs_contract(ref, spot)
        self._goes_on(ref, spot)
        return self._with(view_of(ref, self.world.schemas))

    def _reply(self, ref: str) -> str | None:
        """The contract of what an operation answers."""
        name, _, word = str(ref).partition(".")
        endpoint = self.world.endpoints.get(name)
        operations = endpoint.operations if endpoint else {}
        word = word or (next(iter(operations)) if len(operations) == 1 else "")
        return operations[word].common.reply if word in operations else None

    def element(self, text: str, lines: str | None = None) -> FlowScope:
        """In force inside the list that an expression gives; or where some of it lies in the field ``lines``."""
        check_whole(text, self._context, self.spot, self.world.report)
        found = list_view(text, self._context)
        if lines is None or found is None:
            return self._with(found.element() if found else None)
        nodes = tuple(Node({"properties": {lines: node.schema}}, node.ref) for node in found.nodes)
        hidden = None if found.hidden is None else {lines: found.hidden}
        return self._with(View(nodes, found.schemas, found.ref, hidden))

    def either(self, other: Scope) -> FlowScope:
        """In force where it may be one or the other."""
        return self if other == self or not isinstance(other, FlowScope) else self._with(either(self.view, other.view))

    def unknown(self) -> FlowScope:
        """In force where nothing is known any more."""
        return self._with(None)

    def steps(self, steps: Sequence[Step], at: Path) -> FlowScope:
        """Check nested steps from here; what is in force behind them."""
        found = self.parsed.nested.get(id(steps)) or list(steps or ())
        return self._with(self.run(found).view)

    def run(self, steps: Sequence[Step | None]) -> FlowScope:
        """Check steps one after the other. Behind one that could not be read nothing is known."""
        scope = self
        for step in steps:
            if step is None:
                scope = scope.unknown()
            else:
                spot = self.parsed.spots[id(step)]
                here = FlowScope(self.world, self.parsed, spot, scope.view, self.variables)
                behind: Any = self.world.steps[step.kind].check(step.settings, here)
                if step.on_error:
                    handled = here.handler(step.on_error)
                    behind = behind._with(either(behind.view, handled.view))
                scope = self._with(behind.view)
        return scope

    def handler(self, steps: Sequence[Step]) -> FlowScope:
        """Check an ``on_error``, which knows ``$error``; what is in force behind it."""
        return self._knowing("error", None).steps(steps, ())

    def control(self, kind: str, name: str, key: str, at: Path) -> None:
        """What is set while the bus runs must exist; flows are looked at when all are read."""
        spot = self.spot.at(*at)
        if kind != "endpoint":
            self.world.controlled.append(Controlled(kind, name, key, spot))
        elif name not in self.world.endpoints and name not in self.world.broken["endpoint"]:
            hint = nearest(name, self.world.endpoints)
            self.world.report.at(spot.at("endpoint"), "unknown-endpoint", f"There is no endpoint {name!r}.", hint=hint)

    def finding(self, at: Path, kind: str, text: str) -> None:
        """Anything else that is wrong."""
        spot = self.spot.at(*at)
        known: Any = kind if kind in KINDS else "bad-value"
        self.world.report.at(spot, known, text, value=shown(spot.value))
