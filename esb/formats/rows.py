"""Rows of a CSV stream with the very bytes they came from, however broken the stream is.

The standard ``csv`` reader parses; here is what it does not do: keep each row's bytes, go on behind a row that
cannot be parsed, and end a quote that is never closed.
"""

from __future__ import annotations

import codecs
import csv
from collections import deque
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from esb.formats.encodings import bare, spans_bytes

LONGEST = 1024**2  # bytes of one row; a quote that is never closed must not swallow the file
_BOM = "\ufeff"
_CHUNK = 64 * 1024


class Row(msgspec.Struct, frozen=True):
    """One row: its cells, its bytes, and why it could not be parsed (then the cells are a guess)."""

    cells: list[str]
    raw: bytes
    error: str = ""


class _TooLong(Exception):  # noqa: N818 - control flow between the line feed and the reader around it
    pass


def rows(stream: BinaryIO, encoding: str, delimiter: str, quote: str | None) -> Iterator[Row]:
    """The rows of a stream, blank ones too. Undecodable bytes are lone surrogates in the cells (PEP 383)."""
    feed = _Feed(_wide_lines(stream, encoding) if spans_bytes(encoding) else _lines(stream, encoding))
    dialect: dict[str, Any] = {"delimiter": delimiter, "strict": True}
    dialect |= {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    reader = csv.reader(feed, **dialect)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _TooLong) as error:
            yield _broken(feed, str(error), delimiter)
            reader = csv.reader(feed, **dialect)
        else:
            yield Row(cells, feed.taken())


def _broken(feed: _Feed, reason: str, delimiter: str) -> Row:
    """The first line of what could not be parsed; reading goes on behind it."""
    text, raw = feed.back_to_second()
    reason = "a quote is opened and never closed" if "unexpected end" in reason or "limit" in reason else reason
    cells = [cell.strip().strip('"') for cell in text.rstrip("\r\n").split(delimiter)]
    return Row(cells, raw, f"{reason or 'a quote is opened and never closed'}")


class _Feed:
    """Lines for the reader, remembering those of the row under way."""

    def __init__(self, lines: Iterator[tuple[str, bytes]]) -> None:
        self._lines = lines
        self._again: deque[tuple[str, bytes]] = deque()
        self._row: list[tuple[str, bytes]] = []
        self._size = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if self._size > LONGEST:
            raise _TooLong
        line = self._again.popleft() if self._again else next(self._lines)
        self._row.append(line)
        self._size += len(line[1])
        return line[0]

    def taken(self) -> bytes:
        """The bytes of the row just read; the next one begins."""
        raw = b"".join(raw for _, raw in self._row)
        self._row, self._size = [], 0
        return raw

    def back_to_second(self) -> tuple[str, bytes]:
        """Give all but the row's first line back."""
        first, *rest = self._row
        self._again.extendleft(reversed(rest))
        self._row, self._size = [], 0
        return first


def _lines(stream: BinaryIO, encoding: str) -> Iterator[tuple[str, bytes]]:
    first = True
    while raw := stream.readline(LONGEST):
        text = raw.decode(encoding, "surrogateescape")
        yield (text.removeprefix(_BOM) if first else text), raw
        first = False


def _wide_lines(stream: BinaryIO, encoding: str) -> Iterator[tuple[str, bytes]]:
    """UTF-16 and UTF-32, whose lines cannot be found in the bytes: decoded, then written anew, without a mark.

    Without a byte-order mark they are little-endian, as Windows writes them (Python's own reader refuses that).
    """
    written = bare(encoding)
    chunk = stream.read(_CHUNK)
    big = written != encoding and chunk.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE))
    decoder = codecs.getincrementaldecoder(written[:-2] + "be" if big else written)("replace")
    text = decoder.decode(chunk).removeprefix(_BOM)
    while chunk:
        *lines, text = text.split("\n")
        yield from _marked([line + "\n" for line in lines], written)
        chunk = stream.read(_CHUNK)
        text += decoder.decode(chunk, not chunk)
    yield from _marked([text] if text else [], written)


def _marked(lines: list[str], encoding: str) -> Iterator[tuple[str, bytes]]:
    for line in lines:
        yield line.replace("\ufffd", "\udcff"), line.encode(encoding)
