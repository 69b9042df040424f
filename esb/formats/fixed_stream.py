"""Streams cut into fixed-width records, each with the bytes it came in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

LONGEST = 1024**2  # bytes of a line
_CHUNK = 64 * 1024


def blocks(stream: BinaryIO, length: int) -> Iterator[tuple[bytes, str]]:
    """Records of a fixed length, each with what is wrong with it; only the last one can be shorter."""
    while block := _exactly(stream, length):
        short = len(block) < length
        yield block, f"the stream ends after {len(block)} of the record's {length} bytes" if short else ""


def lines(stream: BinaryIO, end: bytes) -> Iterator[tuple[bytes, str]]:
    """Records with a line end, which only the last one may lack. Of an endless line the beginning is kept.

    By hand, for a stream's own ``readline`` knows no line end but ASCII's.
    """
    held = b""
    while chunk := stream.read(_CHUNK):
        *whole, held = (held + chunk).split(end)
        for line in whole:
            yield line + end, ""
        if len(held) > LONGEST:
            yield held[:LONGEST], f"the line is longer than {LONGEST // 1024**2} MB"
            held = _behind(stream, end)
    if held:
        yield held, ""


def _behind(stream: BinaryIO, end: bytes) -> bytes:
    """Skip the rest of a line; what was read of the next."""
    while chunk := stream.read(_CHUNK):
        _, found, rest = chunk.partition(end)
        if found:
            return rest
    return b""


def _exactly(stream: BinaryIO, length: int) -> bytes:
    """A raw stream may give less than asked for before its end."""
    block = stream.read(length)
    while 0 < len(block) < length and (more := stream.read(length - len(block))):
        block += more
    return block
