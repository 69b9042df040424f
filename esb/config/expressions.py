"""Checks one expression: its syntax, its functions, and each path against the contract in force."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from esb.config.fields import Missing, View
from esb.config.findings import Kind, Report, nearest
from esb.config.mangled import cut_comment, inside
from esb.config.tree import Map, Place, Seq, Spot
from esb.decimals import FUNCTIONS
from esb.errors import ExpressionError
from esb.expression import REFUSED, Expression
from esb.expression_paths import PathUse, builtins, is_bare_path, names, paths, syntax_error

_PLAIN = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_WORDS = frozenset({"true", "false", "null", "and", "or", "in"})
_SUBJECT = re.compile(r"(?:\$(\w+)\.)?([^\W\d]\w*(?:\.[^\W\d]\w*)*)\s*(?:\[.*\])?", re.DOTALL)


class Context(msgspec.Struct, frozen=True):
    """What an expression may use at one place. A variable's view None: it exists, its shape is not known."""

    view: View | None
    variables: Mapping[str, View | None]
    functions: tuple[str, ...] = ()


class ExpressionChecker(msgspec.Struct):
    """Reports what is wrong with expressions. ``sources`` are the files' texts, for carets inside scalars."""

    report: Report
    sources: Mapping[str, str]

    def check(self, value: Any, spot: Spot, context: Context, *, boolean: bool = False) -> None:
        """One value that is an expression or a constant.

        Args:
            value: as it stands in YAML.
            spot: where it stands.
            context: what is in force there.
            boolean: a constant must be true or false.
        """
        if isinstance(value, str):
            self._text(value, spot, context)
        elif isinstance(value, Map | dict) and set(value) == {"const"}:
            value = value["const"]
        elif isinstance(value, Map | Seq | dict | list | tuple):
            text = "An expression is text here: YAML read a mapping or a list. Put all of it in single quotes."
            self.report.at(spot, "mangled-expression", text)
            return
        if boolean and not isinstance(value, str | bool):
            text = "A condition gives true or false: compare something, as in total > 100."
            self.report.at(spot, "bad-value", text)

    def check_field(self, path: str, spot: Spot, context: Context) -> None:
        """The path of a field, where nothing else may stand."""
        self._text(path, spot, context, is_field=True)

    def _text(self, text: str, spot: Spot, context: Context, *, is_field: bool = False) -> None:
        if self._is_cut(text, spot) or not self._parses(text, spot):
            return
        if "$" in text:
            self._names(text, spot, context)
        bare = None if is_field else is_bare_path(text)
        told: set[tuple[str, ...]] = set()
        for use in _uses(text):
            view = context.variables.get(use.variable) if use.variable else context.view
            missing = view.find(use.path) if view else None
            if view and isinstance(missing, Missing) and use.path[: missing.index + 1] not in told:
                told.add(use.path[: missing.index + 1])
                self._unknown(use, missing, view, spot, text, bare)

    def _is_cut(self, text: str, spot: Spot) -> bool:
        """YAML took `` #`` for a comment where the expression went on."""
        source = self.sources.get(spot.place.file, "")
        column = cut_comment(spot.place, source)
        if not column:
            return False
        rest = source.split("\n")[spot.place.end_line - 1][column - 1 :]
        if not rest.startswith("#$") and syntax_error(text) is None:
            return False
        place = spot.place._replace(line=spot.place.end_line, column=column)
        advice = "YAML takes what follows ' #' for a comment, so the expression ends here: put it in single quotes."
        self.report.add(place, "mangled-expression", advice, pointer=spot.pointer, value=text)
        return True

    def _parses(self, text: str, spot: Spot) -> bool:
        if _PLAIN.fullmatch(text):
            return True
        try:
            Expression(text)
        except ExpressionError as error:
            fault = syntax_error(text)
            if fault is None:
                self._at(spot, text, _refused_at(text), "bad-expression", _reason(error))
            else:
                self._at(spot, text, fault.offset, "bad-expression", f"This expression cannot be read: {fault.text}.")
            return False
        return True

    def _names(self, text: str, spot: Spot, context: Context) -> None:
        functions = {*builtins(), *FUNCTIONS, *context.functions}
        for use in names(text):
            variable = not use.call and (use.name in context.variables or use.name == "error")
            if use.name in (context.variables if variable else functions):
                continue  # $error(…) is a function everywhere, $error a variable where something failed
            if use.call:
                hint = nearest(use.name, functions)
                said = f"There is no function ${use.name}; a lookup is one where the mapping lists it under 'lookups'."
                self._at(spot, text, use.offset, "unknown-function", said, value=f"${use.name}", hint=_dollar(hint))
            else:
                hint = nearest(use.name, [*context.variables, *functions])
                known = ", ".join(f"${name}" for name in context.variables)
                said = (
                    f"There is no ${use.name} here; known are {known}." if known else f"There is no ${use.name} here."
                )
                self._at(spot, text, use.offset, "unknown-path", said, value=f"${use.name}", hint=_dollar(hint))

    def _unknown(self, use: PathUse, missing: Missing, view: View, spot: Spot, text: str, bare: str | None) -> None:
        name = use.path[missing.index]
        within = ".".join(use.path[: missing.index])
        hint = nearest(name, missing.known)
        owner = f"{within!r} in {view.ref}" if within else view.ref
        if bare and not hint:
            said = f"{bare} names no field of {owner}: write {{const: {bare}}} if you mean the text."
            self._at(spot, text, 0, "bare-constant", said, value=bare)
            return
        known = f"; known are {', '.join(missing.known[:12])}" if missing.known else "; it has no fields"
        said = f"There is no field {name!r} in {owner}{known}."
        self._at(spot, text, use.offsets[missing.index], "unknown-path", said, value=use.text, hint=hint)

    def _at(self, spot: Spot, text: str, offset: int, kind: Kind, said: str, **rest: Any) -> None:
        line, column = inside(spot.place, self.sources.get(spot.place.file, ""), offset)
        rest.setdefault("value", text)
        place = Place(spot.place.file, line, column)
        self.report.add(place, kind, said, pointer=spot.pointer, **rest)


def element_view(text: Any, context: Context) -> View | None:
    """In force inside the list that an expression gives; None where that cannot be told."""
    found = list_view(text, context)
    return found.element() if found else None


def list_view(text: Any, context: Context) -> View | None:
    """What is known of the list that an expression gives; None where that cannot be told."""
    match = _SUBJECT.fullmatch(text.strip()) if isinstance(text, str) else None
    view = (context.variables.get(match[1]) if match[1] else context.view) if match else None
    found = view.find(tuple(match[2].split("."))) if match and view else None
    return found if isinstance(found, View) else None


def element_context(text: str, context: Context) -> Context:
    """What the expressions may use that are evaluated for each element of the list that an expression gives."""
    return Context(element_view(text, context), {**context.variables, "parent": context.view}, context.functions)


def missing_paths(text: Any, view: View) -> Iterable[PathUse]:
    """The paths of an expression that a view does not have."""
    if not isinstance(text, str):
        return []
    return [use for use in _uses(text) if not use.variable and isinstance(view.find(use.path), Missing)]


def _uses(text: str) -> list[PathUse]:
    """``paths``, with the everyday case (a plain path) spared the parser."""
    if _PLAIN.fullmatch(text) and text not in _WORDS:
        parts = tuple(text.split("."))
        offsets = tuple(sum(len(part) + 1 for part in parts[:number]) for number in range(len(parts)))
        return [PathUse(parts, offsets)]
    return paths(text)


def _refused_at(text: str) -> int:
    return next((use.offset for use in names(text) if use.name in REFUSED), 0)


def _reason(error: ExpressionError) -> str:
    reason = str(error).partition("`: ")[2] or str(error)
    return f"{reason[:1].upper()}{reason[1:]}."


def _dollar(name: str) -> str:
    return f"${name}" if name else ""
