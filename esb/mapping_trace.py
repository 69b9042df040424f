"""Mappings that tell what each of their rules did: for ``esb map --trace``, journeys and the coverage of tests.

A mapping of its own kind, compiled apart: the one that messages go through pays nothing for it.
"""

from __future__ import annotations

from collections import abc
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from esb.errors import ExpressionError
from esb.expression import Data
from esb.expression_paths import readings
from esb.mapping import NOTHING, Bindings, Build, Constant, Each, Leaf, LookupMiss, Mapping, Node
from esb.quoting import quote

Evaluate = Callable[..., Any]
_KINDS: abc.Mapping[type, Literal["constant", "leaf", "each"]] = MappingProxyType(
    {Constant: "constant", Leaf: "leaf", Each: "each"}
)


class Rule(msgspec.Struct, frozen=True):
    """A rule as it stands in the file: a leaf or an ``each``. ``path`` is in the target: ``lines[*].sku``."""

    path: str
    text: str  # the expression, or the constant as JSON
    where: str  # file:line
    kind: Literal["constant", "leaf", "each"] = "leaf"


class Applied(msgspec.Struct, frozen=True):
    """What a rule made of a document.

    ``path`` has the indexes: ``lines[2].sku``; ``roots`` is what its expression could read. ``value`` is unset where
    the rule gave nothing or failed; ``why`` says so then, and where a default came in.
    """

    rule: Rule
    path: str
    roots: abc.Mapping[str, Any]
    value: Any = msgspec.UNSET
    why: str = ""
    failed: bool = False
    elements: int | None = None

    @property
    def reads(self) -> list[tuple[str, str]]:
        """What the expression found at the paths it reads."""
        return [] if self.rule.kind == "constant" else readings(self.rule.text, self.roots)


class TracedMapping(Mapping):
    """A mapping that hands each :class:`Applied` to ``note``, in order. Belongs to the thread that uses it."""

    def __init__(self, note: Callable[[Applied], None], *arguments: Any, **more: Any) -> None:
        """Args: who is told; then as :class:`~esb.mapping.Mapping`."""
        self._teller = _Teller(note)
        self._rules: list[Rule] = []
        super().__init__(*arguments, **more)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, in the order in which they stand."""
        return tuple(self._rules)

    def apply(self, data: Data, bindings: Bindings | None = None) -> Any:
        self._teller.indexes.clear()  # of a document that failed
        return super().apply(data, bindings)

    def _compile(self, node: Node, path: str, *, keep_empty: bool = False) -> Build:
        rule = self._rule(node, path) if isinstance(node, Constant | Leaf | Each) else None
        build = super()._compile(node, path, keep_empty=keep_empty)
        if rule is not None:
            evaluate = self._expression(node, path).evaluate if isinstance(node, Leaf | Each) else None
            if isinstance(node, Each):
                build = self._teller.each(rule, build, evaluate)
            else:
                build = self._teller.leaf(rule, build, evaluate, bool(isinstance(node, Leaf) and node.default))
        return self._teller.element(build) if path.endswith("[*]") else build

    def _rule(self, node: Constant | Leaf | Each, path: str) -> Rule:
        text = quote(node.value, 200) if isinstance(node, Constant) else node.text
        self._rules.append(Rule(path, text, self._where(node.pointer), _KINDS[type(node)]))
        return self._rules[-1]


class _Teller:
    """What the compiled parts of a mapping share. They lead here and not to the mapping: a cycle would be dropped on
    any thread, and expressions may be dropped on their own only."""

    def __init__(self, note: Callable[[Applied], None]) -> None:
        self._note = note
        self.indexes: list[int] = []  # of the elements under way, outermost first

    def element(self, build: Build) -> Build:
        """What an ``each`` makes of each element: counted."""

        def run(data: Data, bindings: Bindings) -> Any:
            self.indexes[-1] += 1
            return build(data, bindings)

        return run

    def leaf(self, rule: Rule, build: Build, evaluate: Evaluate | None, has_default: bool) -> Build:
        def run(data: Data, bindings: Bindings) -> Any:
            try:
                value = build(data, bindings)
            except Exception as error:
                self._tell(rule, data, bindings, why=str(error), failed=True)
                raise
            made = msgspec.UNSET if value is NOTHING else value
            why = _why(rule, evaluate, has_default, data, bindings) if evaluate else ""
            self._tell(rule, data, bindings, value=made, why=why)
            return value

        return run

    def each(self, rule: Rule, build: Build, evaluate: Evaluate | None) -> Build:
        """Tells before its elements do; the expression is asked once more: it is pure."""
        assert evaluate is not None

        def run(data: Data, bindings: Bindings) -> Any:
            try:
                found = evaluate(data, bindings)
                count = len(found) if isinstance(found, list) else 0 if found is None else 1
                why = "" if count else f"no elements: `{rule.text}` gives nothing"
                self._tell(rule, data, bindings, elements=count, why=why)
            except ExpressionError as error:
                self._tell(rule, data, bindings, why=str(error), failed=True)
            self.indexes.append(-1)
            try:
                return build(data, bindings)
            finally:
                self.indexes.pop()

        return run

    def _tell(self, rule: Rule, data: Data, bindings: Bindings, **more: Any) -> None:
        roots = {**bindings, "": data.document}
        self._note(Applied(rule, self._place(rule.path), roots, **more))

    def _place(self, path: str) -> str:
        """A path with the indexes of the elements under way."""
        front, *rest = path.split("[*]")
        return front + "".join(f"[{n}]{part}" for n, part in zip(self.indexes, rest, strict=False))


def _why(rule: Rule, evaluate: Evaluate, has_default: bool, data: Data, bindings: Bindings) -> str:
    """Why a leaf gave nothing, or its default. The expression is asked once more: it is pure."""
    then = "the default" if has_default else "left out"
    try:
        return "" if evaluate(data, bindings) is not None else f"{then}: `{rule.text}` gives nothing"
    except ExpressionError as error:
        return f"{then}: {error.__cause__ if isinstance(error.__cause__, LookupMiss) else error}"
