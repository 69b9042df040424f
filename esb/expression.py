"""JSONata expressions: the one language of mappings, conditions and keys.

The engine stands behind :mod:`esb.expression_engine`. What is impure is taken out or pinned, so that the same message
always gives the same result: ``$now`` and ``$millis`` tell the message's time; ``$eval``, ``$random``, ``$shuffle`` and
``$uuid`` are refused. What an expression reads can be found without running it: see :mod:`esb.expression_paths`.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from threading import get_ident
from types import MappingProxyType
from typing import Any, NoReturn

from esb.decimals import FUNCTIONS
from esb.errors import ExpressionError
from esb.expression_engine import ENGINE
from esb.expression_paths import names, syntax_error, syntax_tree
from esb.expression_plain import LARGEST, MISSING, Plain, Unsure, compile_plain
from esb.message import Message, rfc3339
from esb.quoting import quote

DIGITS = 15  # significant ones that a binary fraction keeps

REFUSED = MappingProxyType(
    {
        "eval": "$eval is not available: an expression never runs text from a message",
        "random": "$random is not available: a replay must give the same result",
        "shuffle": "$shuffle is not available: a replay must give the same result",
        "uuid": "$uuid is not available: a replay must give the same result; $message.id is a stable id",
    }
)

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_NAMED = re.compile(r"\$([^\W\d]\w*)(?:\s*\.\s*([^\W\d]\w*))?")
_LONG_NUMBER = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|(?<![\w$])(\d[\d.]{15,})""", re.DOTALL)
_COMPUTES = re.compile(r"[-+*/%$]")
_FINAL = frozenset({str, bool, type(None)})  # values that are as they are: nothing to round
_ENGINE_TEXT = re.compile(r"(?:Parse error: )?(?:Invalid syntax: )?([A-Z]\d{4}): (.*)", re.DOTALL)


class Data:
    """A document handed to expressions: converted for the engine once, at first use, then shared by all of them.

    It belongs to the thread that made it (others may use it, slowly); the document must not be changed afterwards.
    """

    __slots__ = ("_handle", "_thread", "document")

    def __init__(self, document: Any) -> None:
        self.document = document
        self._handle: Any = None
        self._thread = get_ident()

    @property
    def handle(self) -> Any:
        """The engine's form of the document. Raises ``ExpressionError`` for what JSON cannot say."""
        if self._thread != get_ident():  # another thread must not even drop it, so each of its calls makes its own
            return self._converted()
        if self._handle is None:
            self._handle = self._converted()
        return self._handle

    def _converted(self) -> Any:
        try:
            return ENGINE.handle(self.document)
        except (TypeError, ValueError, OverflowError) as error:
            raise ExpressionError(f"the document holds a value that JSON cannot say: {error}") from error


class Bindings(Mapping[str, Any]):
    """``$message`` in expressions, made when first asked for; in some places ``$error`` or ``$answer`` too."""

    __slots__ = ("_message", "_more", "_table")

    def __init__(self, message: Message, more: Mapping[str, Any] = _NOTHING) -> None:
        self._message = message
        self._more = more
        self._table: dict[str, Any] | None = None

    def __getitem__(self, name: str) -> Any:
        if name != "message":
            return self._more[name]
        if self._table is None:
            self._table = _table(self._message)
        return self._table

    def __contains__(self, name: object) -> bool:
        return name == "message" or name in self._more

    def __iter__(self) -> Iterator[str]:
        return iter(("message", *self._more))

    def __len__(self) -> int:
        return 1 + len(self._more)

    def and_also(self, **more: Any) -> Bindings:
        """The same with further variables."""
        return Bindings(self._message, {**self._more, **more})


def _table(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "type": message.type,
        "version": message.version,
        "source": message.source,
        "subject": message.subject,
        "time": rfc3339(message.time),
        "correlation_id": message.correlation_id,
        "headers": message.headers,
    }


class Expression:
    """One JSONata expression, compiled when made and once more in each further thread that uses it.

    The engine's object is bound to its thread (elsewhere it panics), hence the ``threading.local``.

    Args:
        text: the expression.
        functions: by name without ``$``; each takes JSON values (``None`` for nothing) and returns one.
        where: ``file:line``, for errors.

    Raises:
        ExpressionError: it cannot be parsed (with the position), or it uses what is refused.
    """

    __slots__ = ("_bound", "_clock", "_computes", "_functions", "_local", "_plain", "text", "where")

    def __init__(self, text: str, functions: Mapping[str, Callable[..., Any]] = _NOTHING, *, where: str = "") -> None:
        self.text = text
        self.where = where
        self._functions = functions
        self._local = threading.local()
        self._bound = _bound(text)
        self._clock = not self._bound.keys().isdisjoint(("now", "millis"))
        self._computes = _COMPUTES.search(text) is not None
        self._refuse()
        self._compile()
        self._plain = plain_form(text, functions)  # nearly all are so simple that they need no engine

    @property
    def quick(self) -> Plain | None:
        """The value for a document as it is, without the engine: None where that cannot be.

        The function gives None or ``MISSING`` for nothing. It raises ``Unsure`` for a document that it cannot tell the
        value of; :meth:`evaluate` can.
        """
        plain = self._plain
        if plain is None or not self._computes:
            return plain

        def value_of(document: Any) -> Any:
            value = plain(document)
            return value if type(value) in _FINAL or value is MISSING else _settle(value)

        return value_of

    def evaluate(self, data: Data, bindings: Mapping[str, Any] | None = None) -> Any:
        """The value for one document; ``None`` when there is nothing there, or null.

        Args:
            data: the document.
            bindings: variables by name without ``$``; ``message`` also gives ``$now`` its time.

        Raises:
            ExpressionError: it failed or ran into a limit. A function's own exception is its ``__cause__``.
        """
        if self._plain is not None:
            try:
                value = self._plain(data.document)
            except Unsure:
                pass
            else:
                if type(value) in _FINAL:
                    return value
                return None if value is MISSING else _settle(value) if self._computes else value
        try:
            run = self._local.run
        except AttributeError:
            run = self._compile()
        if self._clock:
            self._local.time = ((bindings or _NOTHING).get("message") or _NOTHING).get("time")
        try:
            result = run(data.handle, self._select(bindings) if bindings and self._bound else None)
            return _settle(result) if self._computes else result
        except Exception as error:
            raise self._failed(error) from self._local.__dict__.pop("raised", error)
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise self._error(f"the expression engine broke down: {error}") from error

    def _compile(self) -> Callable[..., Any]:
        try:
            program = ENGINE.compile(self.text)
            for name, function in (*self._own(), *self._functions.items()):
                program.register(name, self._guarded(function))
        except ValueError as error:
            raise self._unparsed(error) from error
        for name, function in self._overrides().items():
            program.override(name, self._guarded(function))
        self._local.run = program.run
        return program.run

    def _own(self) -> Iterator[tuple[str, Callable[..., Any]]]:
        """Functions of the bus's own that the text names; a lookup of the same name goes before."""
        return ((n, function) for n, function in FUNCTIONS.items() if n in self._bound and n not in self._functions)

    def _overrides(self) -> Mapping[str, Callable[..., Any]]:
        """Only for names in the text: each registered function makes every evaluation slower."""
        overrides = {name: _refusal(reason) for name, reason in REFUSED.items()}
        overrides |= {"now": self._now, "millis": self._millis}
        return {name: function for name, function in overrides.items() if name in self._bound}

    def _select(self, bindings: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Only what the expression names: the engine converts every binding at every call."""
        found = {name: _part(bindings[name], fields) for name, fields in self._bound.items() if name in bindings}
        return found or None

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Keep a function's exception: the engine would turn it into a text."""
        local = self._local

        def call(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except Exception as error:
                local.raised = error
                raise

        return call

    def _millis(self) -> int:
        time = getattr(self._local, "time", None)
        if not time:
            raise ExpressionError("$now and $millis tell the message's time, and there is no message here")
        return round(datetime.fromisoformat(time).timestamp() * 1000)

    def _now(self, picture: str | None = None, timezone: str | None = None) -> Any:
        given = {"t": self._millis(), "picture": picture, "zone": timezone}
        arguments = ", picture, zone" if timezone else ", picture" if picture else ""
        return ENGINE.compile(f"$fromMillis(t{arguments})").run(ENGINE.handle(given), None)

    def _refuse(self) -> None:
        if not self._bound.keys().isdisjoint(REFUSED):
            for use in names(self.text):
                if use.name in REFUSED:
                    raise self._error(REFUSED[use.name])
        for match in _LONG_NUMBER.finditer(self.text):
            if match[1] and len(match[1].replace(".", "").strip("0")) > DIGITS:
                raise self._error(f"the number {match[1]} has more than {DIGITS} digits and would be rounded; use text")

    def _failed(self, error: Exception) -> ExpressionError:
        raised = getattr(self._local, "raised", None)
        return self._error(_reason(str(error if raised is None else raised)))

    def _unparsed(self, error: Exception) -> ExpressionError:
        found = syntax_error(self.text)
        if found is None:
            return self._error(_reason(str(error)))
        return self._error(f"{found.text}, at character {found.offset + 1}")

    def _error(self, reason: str) -> ExpressionError:
        where = f" ({self.where})" if self.where else ""
        text = self.text if len(self.text) <= 120 else self.text[:119] + "…"
        return ExpressionError(f"expression `{text}`{where}: {reason}")


def _bound(text: str) -> dict[str, frozenset[str] | None]:
    """Every ``$name`` in the text, with the fields read of it (``$message.id``), or None for all of it."""
    found: dict[str, frozenset[str] | None] = {}
    for name, field in _NAMED.findall(text):
        known = found.get(name, frozenset())
        found[name] = known | {field} if field and known is not None else None
    return found


def plain_form(text: str, functions: Mapping[str, Callable[..., Any]]) -> Plain | None:
    """The expression as a function that needs no engine; None where it is not that simple."""
    if "?:" in text or "??" in text:  # the second engine, whose tree it is, negates a number in front of them twice
        return None
    tree = syntax_tree(text)
    return None if tree is None else compile_plain(tree, functions)


def _part(value: Any, fields: frozenset[str] | None) -> Any:
    if fields is None or type(value) is not dict:
        return value
    return {field: value[field] for field in fields if field in value}


def _refusal(reason: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise ExpressionError(reason)

    return refuse


def _reason(text: str) -> str:
    match = _ENGINE_TEXT.fullmatch(text)
    return f"{match[2]} ({match[1]})" if match else text


def _settle(value: Any) -> Any:
    """A computed value in numbers that every system reads alike: finite, at most 15 significant digits.

    Binary fractions are rounded there (0.1 + 0.2 is 0.3), as JSONata's own ``$string`` does. A larger number is an
    error: the engine may have rounded it already, and nobody could tell.
    """
    kind = type(value)
    if kind is float:
        return _rounded(value)
    if kind is int:
        return value if -LARGEST < value < LARGEST else _too_long(value)
    if kind is list:
        return [_settle(item) for item in value]
    if kind is dict:
        return {key: _settle(item) for key, item in value.items()}
    return value


def _rounded(value: float) -> float:
    if not math.isfinite(value):
        raise ExpressionError("the result is not a finite number (a division by zero?)")
    return float(f"{value:.{DIGITS}g}") if abs(value) < LARGEST else _too_long(value)


def _too_long(value: Any) -> NoReturn:
    raise ExpressionError(
        f"the result {quote(value)} has more than {DIGITS} digits and may have been rounded; use text"
    )
