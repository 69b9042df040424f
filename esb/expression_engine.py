"""The two JSONata engines behind one class: what an expression, and the official test suite, asks of either.

``jsonatapy`` (a Rust core) is the default: 16 µs for what takes the other, ``jsonata-python``, 460. The other one shows
its syntax tree and the places of errors (:mod:`esb.expression_paths`), and checks the first.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from jsonatapy import _jsonatapy

Run = Callable[[Any, Mapping[str, Any] | None], Any]
LIMIT = "U1001"  # the code of an expression that ran into a limit
_LIMITS = frozenset({"D1011", "D1012"})  # the stack's and the clock's, as jsonatapy has them
_CODE = re.compile(r"\b([A-Z]\d{4})\b")


class Limits(msgspec.Struct, frozen=True):
    """What one evaluation may use. ``timeout`` in milliseconds; ``sequence``: items of an intermediate result."""

    timeout: int = 1000
    stack: int = 500
    sequence: int = 100_000


class EngineError(ValueError):
    """An expression cannot be parsed, or failed. ``code`` is JSONata's own, such as T2001, or ""."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class Program(msgspec.Struct, frozen=True):
    """A compiled expression. It belongs to the thread that compiled it.

    ``run`` takes a document as :meth:`Engine.handle` made it, and variables by name without ``$``; it gives ``None``
    for nothing and for null. What it raises, :meth:`Engine.error` can read. ``alone`` runs it without any document.
    ``register`` makes a function known, by name without ``$``; ``override`` puts one in the place of JSONata's own.
    """

    run: Run
    alone: Callable[[Mapping[str, Any] | None], Any]
    register: Callable[[str, Callable[..., Any]], None]
    override: Callable[[str, Callable[..., Any]], None]


class Engine(ABC):
    """One implementation of JSONata."""

    name: str

    @abstractmethod
    def compile(self, text: str, limits: Limits = Limits()) -> Program:  # noqa: B008 - frozen
        """The expression, ready to run. Raises ``EngineError``."""

    @abstractmethod
    def handle(self, document: Any) -> Any:
        """The engine's form of a document. Raises ``TypeError``, ``ValueError`` or ``OverflowError``."""

    def error(self, raised: BaseException) -> EngineError:
        """What a program raised, with JSONata's code. A limit is the host's, and has one code for all engines."""
        found = _CODE.search(str(raised))
        code = found[1] if found else ""
        return EngineError(str(raised), LIMIT if code in _LIMITS else code)


class JsonataPy(Engine):
    """The default."""

    name = "jsonatapy"

    def compile(self, text: str, limits: Limits = Limits()) -> Program:  # noqa: B008 - frozen
        try:
            compiled = _jsonatapy.compile(text, limits.timeout, limits.stack, limits.sequence)
        except ValueError as error:
            raise self.error(error) from error

        def alone(bindings: Mapping[str, Any] | None = None) -> Any:
            found = compiled.evaluate_json_or_none(None, bindings)
            return None if found is None else msgspec.json.decode(found)

        return Program(compiled.evaluate_with_data, alone, compiled.register, compiled.register_override)

    def handle(self, document: Any) -> Any:
        return _jsonatapy.JsonataData(document)


class JsonataPython(Engine):
    """The second one. ``sequence`` has no limit there."""

    name = "jsonata-python"

    def compile(self, text: str, limits: Limits = Limits()) -> Program:  # noqa: B008 - frozen
        from jsonata import Jsonata  # it takes its time to import, and few ask for it

        try:
            compiled = Jsonata(text, timeout=limits.timeout, stack=limits.stack)
        except Exception as error:  # it also fails with plain errors of Python on some malformed texts
            raise self.error(error) from error

        def alone(bindings: Mapping[str, Any] | None = None) -> Any:
            return compiled.evaluate(None, bindings)

        return Program(compiled.evaluate, alone, compiled.register_lambda, compiled.register_lambda)

    def handle(self, document: Any) -> Any:
        return document

    def error(self, raised: BaseException) -> EngineError:
        code = getattr(raised, "error", "")
        return EngineError(str(raised), code) if code else super().error(raised)


ENGINE: Engine = JsonataPy()  # that the bus runs on
ENGINES: Mapping[str, Engine] = MappingProxyType({engine.name: engine for engine in (ENGINE, JsonataPython())})
