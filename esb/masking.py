"""Masking: fields that travel, and that nobody gets to see.

A contract names them (``x-mask``), and whoever writes a message down covers them first. What is hidden in the document
is hidden in the texts about it, too: an error may quote a value, and an endpoint's answer may repeat one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import cached_property
from types import MappingProxyType
from typing import Any

import msgspec

from esb.errors import ContractError
from esb.hidden_values import HIDDEN, HiddenValues
from esb.message import Message

KEYWORD = "x-mask"
HEADERS = "$message.headers."  # a mask that begins so is a header's

Path = tuple[str, ...]
_SEGMENT = re.compile(r"(?:`([^`]+)`|([^.`\[\]\s]+))(?:\[\])*")
_UNKNOWN = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|\d[\d.,-]{3,}""")
_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`""")
# A value in a text: quoted (with a colon behind it, the name of a field), or a number that is more than a line's.
_VALUE = re.compile(r"""(["'])(?<!\w['])(?:(?!\1).)*\1(\s*:)?|(?<![\w:./-])\d[\d.,-]{2,}\d""", re.DOTALL)
_DEEPEST = 32  # references followed from contract to contract

# Numbers that a document holds are written as they stood there: a float would round them.
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode
_UNREADABLE = object()
_NO_CONTRACTS: Mapping[str, Any] = MappingProxyType({})

Tree = Mapping[str, Any]  # name -> tree of what lies below; an empty one: all of it is hidden


def path_of(text: str) -> Path:
    """``lines[].note`` as a path; lists are looked through, with or without ``[]``. Raises ``ValueError``."""
    parts: list[str] = []
    at = 0
    while match := _SEGMENT.match(text, at):
        parts.append(match[1] or match[2])
        at = match.end()
        if at == len(text):
            return tuple(parts)
        if text[at] != ".":
            break
        at += 1
    raise ValueError(f"{text!r} is no path: write names with dots between them, such as customer.card or lines[].note")


class Mask:
    """What one contract hides: fields by path, headers by name."""

    def __init__(self, fields: Sequence[Path] = (), headers: Sequence[str] = (), wary: bool = True) -> None:
        """Args: what is hidden; ``wary``: a body that cannot be read may hold any of it."""
        self.wary = wary
        self.fields = tuple(dict.fromkeys(fields))
        self.headers = frozenset(name.lower() for name in headers)
        self.tree = _tree(self.fields)

    @cached_property
    def _names(self) -> re.Pattern[str] | None:
        return _naming(self.fields)

    def __bool__(self) -> bool:
        return bool(self.fields or self.headers)

    def __or__(self, other: Mask) -> Mask:
        return Mask((*self.fields, *other.fields), (*self.headers, *other.headers))

    def below(self, field: str) -> Mask:
        """What this hides of a document, hidden where that document is a field of another."""
        return Mask(tuple((field, *path) for path in self.fields))

    def document(self, value: Any) -> Any:
        """The same document with ``***`` at each hidden field that has a value."""
        return _covered(value, self.tree)

    def at(self, pointer: Sequence[str | int], value: Any) -> Any:
        """As :meth:`document`, for what lies at a place in it (names and indexes)."""
        tree = self.tree
        for part in pointer:
            if tree and isinstance(part, str):
                if part not in tree:
                    return value
                tree = tree[part]
        return _covered(value, tree)

    def restored(self, edited: Any, original: Any) -> Any:
        """An edited document in which ``***`` at a hidden field stands for what is there in the original.

        Raises ``ContractError`` where nothing is: lists are told apart by position, so one that lost an element has to
        lose what is hidden in it, too.
        """
        return _restored(edited, original, self.tree, ())

    def body(self, body: bytes) -> bytes:
        """A JSON body, covered. One that cannot be read is hidden as a whole: nobody knows what lies where."""
        return self.encoded(_read(body), body)

    def encoded(self, document: Any, body: bytes) -> bytes:
        """As :meth:`body`, where the body is read already."""
        if document is not _UNREADABLE:
            with suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
                return _encode(self.document(document))
        return HIDDEN.encode() if self.wary else body

    def about(self, message: Message) -> About:
        """A message and what is said of it, as they may be shown."""
        return About(self, message)

    def message(self, message: Message) -> Message:
        """A message as it may be shown."""
        return self.about(message).message()

    def shown_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers, covered."""
        return {name: HIDDEN if name.lower() in self.headers else value for name, value in headers.items()}

    def text(self, text: str, message: Message) -> str:
        """A text about a message without the values hidden in it; see :meth:`About.text`."""
        return self.about(message).text(text)

    def unquoted(self, text: str) -> str:
        """A text without any quoted value, if it names a hidden field: it may quote what was made of it."""
        return _unquoted(text, self._names)


class About:
    """A message, and any number of texts about it, as they may be shown.

    The message is read once, and its hidden values are sought out once, when the first text asks for them.
    """

    def __init__(self, mask: Mask, message: Message) -> None:
        self._mask = mask
        self._message = message

    @cached_property
    def _document(self) -> Any:
        return _read(self._message.body)

    @cached_property
    def _is_unknown(self) -> bool:
        return bool(self._mask.fields and self._message.body) and self._document is _UNREADABLE

    @cached_property
    def _values(self) -> HiddenValues:
        mask, message = self._mask, self._message
        found = {value for name, value in message.headers.items() if name.lower() in mask.headers}
        if self._document is not _UNREADABLE:
            _gather(self._document, mask.tree, found)
        return HiddenValues(found)

    def message(self) -> Message:
        """The message, covered."""
        mask, message = self._mask, self._message
        return msgspec.structs.replace(
            message,
            body=mask.encoded(self._document, message.body) if mask.fields else message.body,
            headers=mask.shown_headers(message.headers),
            subject=None if message.subject is None else self.text(message.subject),
        )

    def text(self, text: str) -> str:
        """A text without the values hidden in the message.

        A text that names a hidden field may quote what was made of it, so it keeps no quoted value at all. Where the
        message cannot be read it keeps neither those nor any number that could be more than a line or a count.
        """
        if self._is_unknown and self._mask.wary:
            text = _UNKNOWN.sub(HIDDEN, text)
        return self._mask.unquoted(self._values.without(text))


class Masks:
    """The masks of a bus by message type; looked up once a hop, so nothing is computed here.

    What any version of a contract hides is hidden in all: a document may have lost its version on the way. Headers are
    hidden in every message: what comes of a message inherits them, whatever its type.
    """

    def __init__(self, by_contract: Mapping[str, Mask] = MappingProxyType({}), everywhere: Mask | None = None) -> None:
        """Args: the masks by ref (``order/v1``) or type; what is hidden in every document besides (answers that calls
        keep in a field of it). Empty ones do not count."""
        headers = [name for mask in by_contract.values() for name in mask.headers]
        rest = (everywhere or Mask()) | Mask((), headers)
        known: dict[str, Mask] = {}
        for ref, mask in by_contract.items():
            if mask.fields:
                type = ref.rpartition("/v")[0] or ref
                known[type] = known.get(type, rest) | mask
        self._known = known
        # What steps put into documents is in those that the bus made, and those can be read.
        self._everywhere = Mask(rest.fields, tuple(rest.headers), wary=False) if rest else None
        self._names = _naming([path for mask in (*known.values(), rest) for path in mask.fields])

    def of(self, type: str) -> Mask | None:
        """What to hide in a message of this type, or None."""
        return self._known.get(type, self._everywhere)

    def text(self, text: str, message: Message) -> str:
        """A text about a message without the values hidden in it; see :meth:`About.text` and :meth:`unquoted`."""
        mask = self.of(message.type)
        return self.unquoted(text if mask is None else mask.text(text, message))

    def unquoted(self, text: str) -> str:
        """A text without any quoted value, if it names a field that is hidden anywhere: it may be about what was made
        of the message."""
        return _unquoted(text, self._names)


def mask_of(ref: str, schema: Any, siblings: Mapping[str, Any] = _NO_CONTRACTS) -> Mask:
    """What a contract hides: its own ``x-mask``, and below each ``$ref`` to another contract what that one hides.

    Raises ``ValueError`` for a mask that is no path.
    """
    own = declared(schema)
    headers = [text.removeprefix(HEADERS) for text in own if text.startswith(HEADERS)]
    fields = [path_of(text) for text in own if not text.startswith(HEADERS)]
    return Mask([*fields, *_inherited(schema, siblings, (), (ref,))], headers)


def first_masked(contracts: Mapping[str, Any]) -> str:
    """The first contract, by name, that hides anything; "" when none does. Masks that cannot be read do not count."""
    for ref in sorted(contracts):
        try:
            if mask_of(ref, contracts[ref], contracts):
                return ref
        except ValueError:
            continue
    return ""


def declared(schema: Any) -> list[str]:
    """The texts of a schema's own ``x-mask``. Raises ``ValueError`` where it is no list of texts."""
    found = schema.get(KEYWORD, []) if isinstance(schema, Mapping) else []
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise ValueError("it is a list of paths, such as [customer.card, lines[].note]")
    return found


def _inherited(schema: Any, siblings: Mapping[str, Any], at: Path, way: tuple[str, ...]) -> Iterator[Path]:
    """Masks of the contracts that a schema refers to, as paths from ``at``."""
    if not isinstance(schema, Mapping) or len(way) > _DEEPEST:
        return
    target = str(schema.get("$ref", "")).removeprefix("esb:").partition("#")
    if target[0] in siblings and target[0] not in way and not target[2]:
        found = siblings[target[0]]
        yield from ((*at, *path_of(text)) for text in declared(found) if not text.startswith(HEADERS))
        yield from _inherited(found, siblings, at, (*way, target[0]))
    for name, part in dict(schema.get("properties") or {}).items():
        yield from _inherited(part, siblings, (*at, name), way)
    for word in ("allOf", "anyOf", "oneOf", "prefixItems"):
        for part in schema.get(word) or ():
            yield from _inherited(part, siblings, at, way)
    for word in ("items", "then", "else"):
        yield from _inherited(schema.get(word), siblings, at, way)


def beneath(tree: Tree | None, path: Sequence[str]) -> Tree | None:
    """What is hidden of the value at a path: an empty tree is all of it, None nothing."""
    for name in path:
        if not tree:
            return tree
        tree = tree.get(name)
    return tree


def covers(tree: Tree | None, other: Tree | None) -> bool:
    """Whether one hides all that the other does."""
    if other is None or tree == {}:
        return True
    if not tree or not other:
        return False
    return all(covers(tree.get(name), below) for name, below in other.items())


def both(one: Tree | None, other: Tree | None) -> Tree | None:
    """What is hidden by one or the other."""
    if not one or not other:
        return one if other is None or one == {} else other
    return {name: both(one.get(name), other.get(name)) for name in {**one, **other}}


def paths_in(tree: Tree | None, at: Path = ()) -> Iterator[Path]:
    """A tree as paths."""
    if tree == {}:
        yield at
    for name, below in (tree or {}).items():
        yield from paths_in(below, (*at, name))


def _naming(fields: Sequence[Path]) -> re.Pattern[str] | None:
    """Finds the names of hidden fields in a text."""
    names = sorted({re.escape(path[-1]) for path in fields if path})
    return re.compile(rf"(?<!\w)(?:{'|'.join(names)})(?!\w)") if names else None


def _unquoted(text: str, names: re.Pattern[str] | None) -> str:
    """A text that names a hidden field, without any value."""
    if names is None or not names.search(_QUOTED.sub("", text)):
        return text
    return _VALUE.sub(lambda found: found[0] if found[2] else f"{found[1] or ''}{HIDDEN}{found[1] or ''}", text)


def _tree(paths: Sequence[Path]) -> dict[str, Any] | None:
    """The paths as one tree; None where there are none. A path within another adds nothing to it."""
    tree: dict[str, Any] = {}
    for path in sorted(paths, key=len):
        below = tree
        for name in path:
            if name in below and not below[name]:
                break  # all of it is hidden already
            below = below.setdefault(name, {})
    return tree or None


def _covered(value: Any, tree: Tree | None) -> Any:
    if tree is None or value is None:
        return value
    if not tree:
        return HIDDEN
    if isinstance(value, list | tuple):
        return [_covered(item, tree) for item in value]
    if isinstance(value, Mapping):
        return {name: _covered(item, tree[name]) if name in tree else item for name, item in value.items()}
    return value


def _restored(edited: Any, original: Any, tree: Tree | None, at: Path) -> Any:
    if tree is None:
        return edited
    if not tree and edited == HIDDEN:
        if original is None:
            raise ContractError(f"{'.'.join(at)}: nothing is hidden here that {HIDDEN} could stand for; give a value")
        return original
    if isinstance(edited, list):
        alike = isinstance(original, list) and len(original) == len(edited)
        return [_restored(e, original[n] if alike else None, tree, at) for n, e in enumerate(edited)]
    if isinstance(edited, dict):
        known: dict[str, Any] = original if isinstance(original, dict) else {}
        return {k: _restored(v, known.get(k), tree[k], (*at, k)) if k in tree else v for k, v in edited.items()}
    return edited


def _read(body: bytes) -> Any:
    """A JSON body, or that it is none."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _UNREADABLE


def _gather(value: Any, tree: Tree | None, found: set[str]) -> None:
    """Every hidden text and number. A boolean is in half of all sentences, and hides nothing there."""
    if tree is None or value is None or isinstance(value, bool):
        return
    if isinstance(value, list | tuple):
        for item in value:
            _gather(item, tree, found)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if not tree or name in tree:
                _gather(item, tree and tree[name], found)
    elif not tree:
        found.add(str(value))
        if isinstance(value, Decimal):
            found.add(str(float(value)))  # as a program writes it that does not keep its digits
