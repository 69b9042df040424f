"""XML elements as documents, and back: attributes and text under marked keys, repeated elements as lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from esb.errors import DecodeError
from esb.formats.columns import plain
from esb.formats.numbers import DEPTH
from esb.formats.xml_parser import Element, library
from esb.quoting import quote

DEEPEST = DEPTH // 2 - 1  # an element may become an object in a list; the document must stay within DEPTH
WELL_KNOWN: Mapping[str, str] = {
    "xml": "http://www.w3.org/XML/1998/namespace",
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
}
_SPACE = " \t\r\n"  # what XML takes for white space; a no-break space is text


class Names:
    """Names with the prefixes of the settings, whatever prefixes a document uses itself."""

    def __init__(self, namespaces: Mapping[str, str]) -> None:
        self.nsmap = {prefix or None: uri for prefix, uri in namespaces.items()}
        self._uris = {**WELL_KNOWN, **namespaces}
        self._prefixes = {uri: prefix for prefix, uri in self._uris.items()}
        self.key = lru_cache(1024)(self._key)
        self.clark = lru_cache(1024)(self._clark)

    def _key(self, clark: str, attribute: bool = False) -> str:
        """``{uri}local`` as the document's key; raises ``ValueError`` for a namespace that has no prefix."""
        uri, _, local = clark.rpartition("}")
        prefix = self._prefixes.get(uri[1:]) if uri else self._bare(local, attribute)
        if prefix is None or (uri and attribute and not prefix):
            raise ValueError(f"{local} is in the namespace {uri[1:]}; give that a prefix in namespaces")
        return f"{prefix}:{local}" if prefix else local

    def _bare(self, local: str, attribute: bool) -> str:
        if not attribute and "" in self._uris:
            raise ValueError(f"{local} is in no namespace, where {self._uris['']} is expected")
        return ""

    def _clark(self, name: str, attribute: bool = False) -> str:
        """A key as ``{uri}local``; raises ``ValueError`` for an unknown prefix or what cannot be a name."""
        prefix, _, local = name.rpartition(":")
        if "{" in name or "}" in name or name.startswith(":"):
            raise ValueError(f"{quote(name, 60)} is not a name in XML")
        if prefix and prefix not in self._uris:
            raise ValueError(f"the prefix {quote(prefix, 60)} is not in namespaces")
        uri = "" if attribute and not prefix else self._uris.get(prefix, "")
        try:
            return str(library().QName(uri or None, local))
        except ValueError as error:
            raise ValueError(f"{quote(name, 60)} is not a name in XML") from error


class Shape(msgspec.Struct, frozen=True):
    """How elements appear in documents."""

    names: Names
    attributes: str  # in front of the names of attributes
    text: str  # the key of text beside attributes or elements
    lists: frozenset[str] = frozenset()  # names, or paths from the document, that are always lists
    strip: bool = True
    encoding: str = "utf-8"  # that names must have a place in


class _Fault(Exception):  # noqa: N818 - carries the place up to where the sentence is made
    def __init__(self, element: Element, reason: str) -> None:
        super().__init__(reason)
        self.element = element


class Reader:
    """Elements to values. Without state, so one serves any number of threads."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._paths = any("/" in name for name in shape.lists)

    def document(self, element: Element, path: str = "") -> dict[str, Any]:
        """An element's content as an object, even where it is nothing but text.

        Args:
            element: of lxml.
            path: under which keys it will stand in the document.

        Raises:
            DecodeError: a namespace has no prefix, or it is too deep; names line and element.
        """
        try:
            value = self._value(element, path, 1)
        except _Fault as fault:
            raise DecodeError(f"line {fault.element.sourceline}, {_place(fault.element)}: {fault}") from fault
        if isinstance(value, dict):
            return value
        return {self._shape.text: value} if value else {}

    def _value(self, element: Element, path: str, depth: int) -> Any:
        if depth > DEEPEST:
            raise _Fault(element, f"more than {DEEPEST} elements inside each other")
        attributes = element.attrib
        if not len(element) and not attributes:
            return self._stripped(element.text)
        shape = self._shape
        found = {shape.attributes + self._key(element, name, True): attributes[name] for name in attributes}
        for child in element:
            self._take(found, child, path, depth)
        text = self._text(element)
        return {**found, shape.text: text} if text else found

    def _take(self, found: dict[str, Any], child: Element, path: str, depth: int) -> None:
        """Put a child in; the second of its name makes a list."""
        key = self._key(child, child.tag)
        inner = f"{path}/{key}" if path and self._paths else key
        value = self._value(child, inner, depth + 1)
        if key not in found:
            always = key in self._shape.lists or inner in self._shape.lists
            found[key] = [value] if always else value
        elif isinstance(found[key], list):
            found[key].append(value)
        else:
            found[key] = [found[key], value]

    def _key(self, element: Element, name: str, attribute: bool = False) -> str:
        try:
            return self._shape.names.key(name, attribute)
        except ValueError as error:
            raise _Fault(element, str(error)) from error

    def _text(self, element: Element) -> str:
        """All text directly in an element; white space between elements is layout."""
        if not len(element):
            return self._stripped(element.text)
        pieces = [
            piece for piece in (element.text, *(child.tail for child in element)) if piece and piece.strip(_SPACE)
        ]
        return " ".join(piece.strip(_SPACE) for piece in pieces) if self._shape.strip else "".join(pieces)

    def _stripped(self, text: str | None) -> str:
        return (text or "").strip(_SPACE) if self._shape.strip else text or ""


def _place(element: Element) -> str:
    tags = [element.tag, *(one.tag for one in element.iterancestors())]
    return "/".join(tag.rpartition("}")[2] for tag in reversed(tags))


class Writer:
    """Values to elements. Without state."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def root(self, path: Sequence[str], documents: Sequence[Any]) -> Element:
        """The root element of a path, holding an element for each document at its end.

        Raises:
            DecodeError: a name, a text or a value cannot be in XML; names the field.
        """
        try:
            root = library().Element(self._clark(path[0], path[0], False), nsmap=self._shape.names.nsmap)
        except ValueError as error:
            raise DecodeError(f"element {path[0]}: {error}") from error
        parent = root
        for name in path[1:-1]:
            parent = self._child(parent, name, name)
        for number, document in enumerate(documents, 1):
            target = root if len(path) == 1 else self._child(parent, path[-1], path[-1])
            self._fill(target, document, "" if len(documents) == 1 else f"[{number}]", 1)
        return root

    def _fill(self, element: Element, value: Any, path: str, depth: int) -> None:
        if depth > DEEPEST:
            raise DecodeError(f"field {path}: more than {DEEPEST} objects inside each other")
        if isinstance(value, dict):
            for key, item in value.items():
                self._put(element, key, item, f"{path}.{key}" if path else str(key), depth)
        else:
            self._set_text(element, value, path)

    def _put(self, element: Element, key: Any, item: Any, path: str, depth: int) -> None:
        shape = self._shape
        if item is None:
            return
        if key == shape.text:
            self._set_text(element, item, path)
        elif key.startswith(shape.attributes):
            self._set_attribute(element, key.removeprefix(shape.attributes), item, path)
        else:
            for inner, one in _each(item, path):
                self._fill(self._child(element, key, path), one, inner, depth + 1)

    def _child(self, parent: Element, name: str, path: str) -> Element:
        return library().SubElement(parent, self._clark(name, path, False))

    def _clark(self, name: str, path: str, attribute: bool) -> str:
        try:
            name.encode(self._shape.encoding)  # text can be escaped, names cannot
            return self._shape.names.clark(name, attribute)
        except UnicodeEncodeError as error:
            raise DecodeError(f"field {path}: the name is not in {self._shape.encoding}") from error
        except ValueError as error:
            raise DecodeError(f"field {path}: {error}") from error

    def _set_text(self, element: Element, value: Any, path: str) -> None:
        try:
            element.text = plain(value)
        except ValueError as error:
            raise DecodeError(_unwritable(path, value, error)) from error

    def _set_attribute(self, element: Element, name: str, value: Any, path: str) -> None:
        clark = self._clark(name, path, True)
        try:
            element.set(clark, plain(value))
        except ValueError as error:
            raise DecodeError(_unwritable(path, value, error)) from error


def _each(item: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(item, list):
        yield path, item
        return
    for number, one in enumerate(item):
        if isinstance(one, list):
            raise DecodeError(f"field {path}[{number}]: a list in a list has no form in XML")
        if one is not None:
            yield f"{path}[{number}]", one


def _unwritable(path: str, value: Any, error: ValueError) -> str:
    if isinstance(value, str):
        return f"field {path}: {quote(value, 40)} has a character that XML cannot hold, such as a control character"
    return f"field {path or 'at the top'}: {error}"
