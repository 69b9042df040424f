"""What a mapping made of one document, told rule by rule: with what it read, and what it left unread and unset."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from esb.config.definition import Definition
from esb.config.fields import View, view_of
from esb.contract import Contract
from esb.errors import MessageError
from esb.expression import Bindings, Data
from esb.expression_paths import paths
from esb.flow.compile import compile_mapping
from esb.mapping import Use, referenced_expressions
from esb.mapping_trace import Applied, TracedMapping
from esb.message import Message

_DEEPEST = 8  # levels of a contract that are looked at: it may contain itself
_WHOLE = re.compile(r"\$(?![\w$])|(?:^|[.(\[,{:])\s*\*")  # `$` for all there is, or a wildcard

Path = tuple[str, ...]


class Unset(msgspec.Struct, frozen=True):
    """A field of the target's contract that the document has not got, and why."""

    path: str
    why: str


class Traced(msgspec.Struct, frozen=True):
    """All of it. ``result`` is unset where it failed; ``unread`` are fields of the source that no rule reads."""

    rules: Sequence[Applied]
    result: Any
    error: str
    unread: Sequence[str]
    unset: Sequence[Unset]


class Tracer:
    """One mapping of a definition. For one thread."""

    def __init__(self, name: str, definition: Definition) -> None:
        """Args: the mapping's name, which there must be, and its definition."""
        loaded = definition.mappings[name]
        self._told: list[Applied] = []
        mapping = compile_mapping(loaded, definition, lambda **more: TracedMapping(self._told.append, **more))
        assert isinstance(mapping, TracedMapping)
        self._mapping = mapping
        self._read = _reads(list(referenced_expressions(loaded.set)))
        self._source = view_of(loaded.source, definition.contracts)
        self._target = view_of(loaded.target, definition.contracts)
        self._before, self._behind = (
            Contract(ref, definition.contracts[ref], definition.contracts) if ref else None
            for ref in (loaded.source, loaded.target)
        )

    def trace(self, document: Any, message: Message) -> Traced:
        """What it makes of a document that the message carries. Never raises for the document."""
        self._told.clear()
        result, errors = msgspec.UNSET, [_violation(self._before, document)]
        try:
            result = self._mapping.apply(Data(document), Bindings(message))
            errors.append(_violation(self._behind, result))
        except MessageError as failure:
            errors.append(str(failure))
        unset: list[Unset] = [] if result is msgspec.UNSET else list(self._unset(result))
        error = next(filter(None, errors), "")
        return Traced(tuple(self._told), result, error, list(self._unread(document)), unset)

    def _unread(self, document: Any) -> Iterator[str]:
        """What the document has, or its contract knows, and no expression looks at."""
        known = dict.fromkeys((*_fields_of(document), *_fields_in(self._source)))
        yield from _topmost([path for path in known if not self._is_read(path)], known)

    def _is_read(self, path: Path) -> bool:
        return any(path[: len(read)] == read or read[: len(path)] == path for read in self._read)

    def _unset(self, result: Any) -> Iterator[Unset]:
        there = set(_fields_of(result))
        known = list(_fields_in(self._target))
        why = {_plain(applied.path): applied.why for applied in self._told if applied.why}
        ruled = {_plain(rule.path) for rule in self._mapping.rules}
        for text in _topmost([path for path in known if path not in there], known):
            below = next((why[path] for path in sorted(why) if path == text or path.startswith(f"{text}.")), "")
            has_rule = any(path == text or path.startswith(f"{text}.") for path in ruled)
            yield Unset(text, below or ("" if has_rule else "no rule makes it"))


def _violation(contract: Contract | None, document: Any) -> str:
    try:
        if contract is not None:
            contract.check(document)
    except MessageError as failure:
        return str(failure)
    return ""


def _reads(uses: Sequence[Use]) -> set[Path]:
    """The paths from the top of the document that expressions read; where one cannot be told, all above it counts."""
    return {path for use in uses for path in _paths_of(use.text, _base(use.scope), _base(use.scope[:-1]))}


def _base(scope: Sequence[str]) -> Path:
    """Where the elements of the innermost ``each`` lie."""
    base: Path = ()
    for text in scope:
        found = [use.path for use in paths(text) if not use.variable]
        base = (*base, *found[0]) if found else base
    return base


def _paths_of(text: str, here: Path, parent: Path) -> Iterator[Path]:
    if _WHOLE.search(text):
        yield here
    for use in paths(text):
        if use.variable in ("", "parent"):
            yield (*(parent if use.variable else here), *use.path)


def _fields_of(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every field of a document; lists are looked through."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield (*path, name)
            yield from _fields_of(item, (*path, name))
    elif isinstance(value, list):
        for item in value:
            yield from _fields_of(item, path)


def _fields_in(view: View | None, path: Path = ()) -> Iterator[Path]:
    """Every field that a contract knows."""
    if view is None or len(path) >= _DEEPEST:
        return
    for name, below in view.fields().items():
        yield (*path, name)
        yield from _fields_in(below, (*path, name))


def _topmost(missing: Sequence[Path], known: Any) -> Iterator[str]:
    """Paths as text; of an object all of which is missing only the object."""
    gone = set(missing)
    for path in missing:
        if not any(path[:length] in gone for length in range(1, len(path))):
            yield ".".join(path)


def _plain(path: str) -> str:
    """``lines[2].sku`` as ``lines.sku``."""
    return re.sub(r"\[[\d*]+\]", "", path)
