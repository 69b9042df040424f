"""XML from outside, parsed so that it can do no harm: no DOCTYPE, no entities, no network, limits on size and depth.

A DOCTYPE is refused as a whole, for it is the way to all of it: entities that multiply (billion laughs), entities that
read files (XXE), and subsets fetched from elsewhere. lxml is imported here only when XML is in use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import chain
from typing import Any, BinaryIO

import msgspec

from esb.errors import DecodeError

LARGEST = 64 * 1024**2  # bytes of a document, or from the end of one record to the end of the next
KEPT = 8 * 1024**2  # bytes kept of what stands behind a fault
MISSING = "XML needs the library lxml, which is not installed: pip install 'esb[xml]'"
_CHUNK = 64 * 1024
_FIRST = 1024  # enough for most prologs; they are parsed twice
_HELD = 1024**2

Element = Any  # an lxml element; the library has no types


class Torn(msgspec.Struct, frozen=True):
    """Where a stream stops being XML: nothing behind it can be told apart. ``raw`` begins behind the last record."""

    raw: bytes
    reason: str


def library() -> Any:
    """``lxml.etree``. Raises ``DecodeError`` that names the package to install."""
    try:
        from lxml import etree
    except ImportError as error:
        raise DecodeError(MISSING) from error
    return etree


def whole(body: bytes, encoding: str | None = None) -> Element:
    """The root element of a document.

    Args:
        body: at most 64 MB.
        encoding: character set that counts instead of the one the document declares.

    Raises:
        DecodeError: it is not well-formed (with line and column), has a DOCTYPE, or is too large.
    """
    if len(body) > LARGEST:
        raise DecodeError(
            f"the document is larger than {_mb(LARGEST)}; name its record elements to read it as a stream"
        )
    etree = library()
    try:
        root = etree.fromstring(body, etree.XMLParser(**_options(encoding)))
    except etree.XMLSyntaxError as error:
        _opening(BytesIO(body), encoding)  # a DOCTYPE tells more
        raise DecodeError(_reason(error)) from error
    _refuse_doctype(root)
    return root


def elements(stream: BinaryIO, path: Sequence[str], encoding: str | None = None) -> Iterator[Element | Torn]:
    """The elements at a path, complete, one after another; each is emptied when the next one is asked for.

    Args:
        stream: any length; what lies in memory is one record and what stands between two.
        path: names from the root on, in Clark notation (``{uri}local``).
        encoding: see :func:`whole`.

    Raises:
        DecodeError: nothing at all can be read: no root element, another root, a DOCTYPE.
    """
    chunks, root = _opening(stream, encoding)
    if root.tag != path[0]:
        raise DecodeError(f"the root element is {_said(root.tag)}, where {_said(path[0])} is expected")
    return _records(chain(chunks, iter(lambda: stream.read(_CHUNK), b"")), path, encoding)


def _said(tag: str) -> str:
    uri, _, local = tag.rpartition("}")
    return f"{local} (namespace {uri[1:]})" if uri else local


def _records(chunks: Iterator[bytes], path: Sequence[str], encoding: str | None) -> Iterator[Element | Torn]:
    parser = library().XMLPullParser(events=("end",), tag=path[-1], **_options(encoding))
    ends = _record_end(path[-1])
    kept = bytearray()  # since the end of the last record
    pieces = _pieces(chunks, ends)
    for piece in chain(pieces, (None,)):
        error = _fed(parser, piece)
        kept += piece or b""
        for element in _complete(parser, path):
            yield element
            _forget(element)
            kept = bytearray(b"" if ends.fullmatch(piece or b"", _last_tag(piece)) else piece or b"")
        if error is None and len(kept) > LARGEST:
            error = f"no record ends within {_mb(LARGEST)}"
        if error is not None:
            yield _torn(kept, pieces, error)
            return


def _complete(parser: Any, path: Sequence[str]) -> Iterator[Element]:
    """Record elements that have ended; one of the same name elsewhere in the tree is none."""
    outside = list(reversed(path[:-1]))
    for _, element in parser.read_events():
        if [one.tag for one in element.iterancestors()] == outside:
            yield element


def _forget(element: Element) -> None:
    """Empty a record and drop what stands before it, so that the tree does not grow."""
    element.clear()
    for one in chain((element,), element.iterancestors()):
        parent = one.getparent()
        while one.getprevious() is not None:
            del parent[0]


def _torn(kept: bytearray, rest: Iterator[bytes], reason: str) -> Torn:
    for piece in rest:
        if len(kept) > KEPT:
            break
        kept += piece
    cut = f" (of it, {_mb(KEPT)} are kept)" if len(kept) > KEPT else ""
    return Torn(bytes(kept[:KEPT]), f"{reason}; nothing behind it can be read{cut}")


def _pieces(chunks: Iterator[bytes], ends: re.Pattern[bytes]) -> Iterator[bytes]:
    """The stream cut behind each record, so that it is known with which byte a record ends."""
    held = b""
    for chunk in chunks:
        held += chunk
        cut = len(held) if len(held) > _HELD else held.rfind(b">") + 1
        start = 0
        for match in ends.finditer(held, 0, cut):
            yield held[start : match.end()]
            start = match.end()
        if start < cut:
            yield held[start:cut]
        held = held[cut:]
    if held:
        yield held


def _record_end(tag: str) -> re.Pattern[bytes]:
    name = rb"(?:[^\s<>/:]+:)?" + re.escape(tag.rpartition("}")[2].encode())
    attributes = rb"""(?:\s(?:[^<>"']|"[^"<]*"|'[^'<]*')*)?"""
    return re.compile(rb"</" + name + rb"\s*>|<" + name + attributes + rb"/>")


def _last_tag(piece: bytes | None) -> int:
    return max((piece or b"").rfind(b"<"), 0)


def _fed(parser: Any, piece: bytes | None) -> str | None:
    """Feed a piece, or with None end the document; what is wrong with it."""
    try:
        if piece is None:
            parser.close()
        else:
            parser.feed(piece)
    except library().XMLSyntaxError as error:
        return _reason(error)
    return None


def _opening(stream: BinaryIO, encoding: str | None) -> tuple[list[bytes], Element]:
    """The root element as soon as it has begun, and the chunks read so far."""
    parser = library().XMLPullParser(events=("start",), **_options(encoding))
    chunks: list[bytes] = []
    error: str | None = None
    while error is None:
        chunk = stream.read(_FIRST)
        chunks += [chunk] if chunk else []
        error = _fed(parser, chunk or None)
        for _, root in parser.read_events():
            _refuse_doctype(root)
            return chunks, root
        if len(chunks) * _FIRST > _HELD:
            error = f"no element begins within {_mb(_HELD)}"
    raise DecodeError(_DOCTYPE if b"<!DOCTYPE" in b"".join(chunks) else error)


_DOCTYPE = "it has a DOCTYPE, which is refused: it can name entities that multiply or read files; send it without"


def _refuse_doctype(root: Element) -> None:
    if root.getroottree().docinfo.internalDTD is not None:
        raise DecodeError(_DOCTYPE)


def _options(encoding: str | None) -> dict[str, Any]:
    return {
        "encoding": encoding,
        "resolve_entities": False,
        "load_dtd": False,
        "no_network": True,
        "huge_tree": False,
        "remove_comments": True,
        "remove_pis": True,
        "collect_ids": False,
    }


def _reason(error: Any) -> str:
    line, column = error.position
    text = re.sub(r",? line \d+, column \d+$", "", error.msg or "it is empty")
    return f"not XML: line {line}, column {column}: {text}"


def _mb(size: int) -> str:
    return f"{size // 1024**2} MB"
