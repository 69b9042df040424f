"""JSON from outside, read so that nothing is lost on the way: the one way a body becomes a document.

A number with more than 15 significant digits is refused, because the engines behind would round it without a word
(IEEE 754 doubles). Of a key that stands twice in one object the last value counts, as in nearly every JSON reader
(RFC 8259, section 4, leaves it open). Nesting is limited; so no document can exhaust the stack.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import msgspec

from esb.errors import DecodeError

DIGITS = 15
DEPTH = 100

_decode = msgspec.json.Decoder().decode
_SHAPE = bytes.maketrans(b"123456789.[", b"0000000000{")  # one digit and one bracket: two searches tell enough
_LONG_RUN = b"0" * (DIGITS + 1)
_LONG_NUMBER = re.compile(rb"(?:^|[:,\[\s])-?[\d.]{16}")
_HALF_PAIR = re.compile(rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]")
_PLACE = re.compile(r"\(byte (\d+)\)")
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_CONTAINERS = (dict, list)


def decode_json(body: bytes, max_depth: int = DEPTH) -> Any:
    """The document in a JSON body.

    Args:
        body: UTF-8 without a byte-order mark.
        max_depth: objects and arrays inside each other.

    Raises:
        DecodeError: it is empty, malformed, too deep, in another character set, or holds a number that would be
            rounded; names the place.
    """
    try:
        document = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        _explain(body, error, max_depth)
    shape = body.translate(_SHAPE)
    if shape.count(b"{") > max_depth:
        _refuse_depth(document, max_depth)  # first: what looks for long numbers goes down by calling itself
    if _LONG_RUN in shape and _LONG_NUMBER.search(body):
        _refuse_long_numbers(body)
    return document


def significant(number: str) -> int:
    """How many significant digits a number's text has; zeros at either end do not count."""
    digits = re.split("[eE]", number)[0].lstrip("+-").replace(".", "")
    return len(digits.strip("0"))


class _Long(str):
    """The text of a number that would be rounded."""


def _fraction(text: str) -> Any:
    return _Long(text) if significant(text) > DIGITS else float(text)


def _integer(text: str) -> Any:
    # A float and an int compare exactly, and what is beyond all doubles is infinite.
    return _Long(text) if significant(text) > DIGITS or float(text) != int(text) else int(text)


def _refuse_long_numbers(body: bytes) -> None:
    document = json.loads(body, parse_int=_integer, parse_float=_fraction)
    for path, number in _leaves(document, ""):
        if type(number) is _Long:
            raise DecodeError(
                f"the number {number[:60]} at {path or 'the top'} has more than {DIGITS} significant digits and would "
                "be rounded; its sender must quote it as text"
            )


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def _refuse_depth(document: Any, max_depth: int) -> None:
    level = [document] if type(document) in _CONTAINERS else []
    for _ in range(max_depth):
        inner = (item for one in level for item in (one.values() if type(one) is dict else one))
        level = [item for item in inner if type(item) in _CONTAINERS]
        if not level:
            return
    raise _too_deep(max_depth)


def _too_deep(max_depth: int) -> DecodeError:
    return DecodeError(f"more than {max_depth} objects and arrays inside each other")


def _explain(body: bytes, error: Exception, max_depth: int) -> NoReturn:
    if isinstance(error, RecursionError):
        raise _too_deep(max_depth) from error
    raise DecodeError(_reason(body, error)) from error


def _reason(body: bytes, error: Exception) -> str:
    """The cause in words, by what is most telling first; the reader itself says only where it stopped."""
    if not body.strip():
        return "the body is empty; a JSON document was expected"
    if body.startswith(_BOMS):
        return "the body starts with a byte-order mark; JSON is UTF-8 without one (RFC 8259, section 8.1)"
    try:
        body.decode()
    except UnicodeDecodeError as wrong:
        byte = body[wrong.start]
        return f"byte {wrong.start} (0x{byte:02X}) is not UTF-8; the sender writes another character set"
    place = _PLACE.search(str(error))
    if place and re.match(rb"-?(NaN|Infinity)", body[max(int(place[1]) - 1, 0) :].lstrip(b" :,[")):
        return f"NaN and Infinity are not JSON (byte {place[1]}); a missing number is null or left out"
    if _HALF_PAIR.search(body):
        return r"a \u escape is half of a surrogate pair; the other half is missing"
    return f"not JSON: {str(error).removeprefix('JSON is malformed: ').partition(' - at ')[0]}"
