"""Fields of fixed-width records: text, numbers, dates, and COBOL's packed and zoned decimals, to values and back.

A record is handled as text with one character for each byte; bytes that are no characters (packed digits) are lone
surrogates in it (PEP 383). By hand, for no maintained library reads layouts of this kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from esb.formats.columns import plain, reader, writer
from esb.formats.layout import FixedField, is_ebcdic
from esb.formats.numbers import DIGITS, significant
from esb.quoting import quote

Read = Callable[[str], Any]
Write = Callable[[Any], str]

ESCAPED = "surrogateescape"
_UNDECODED = re.compile("[\udc80-\udcff]")
_BLANK = " \0"  # spaces, and the low values that COBOL leaves in fields never set
_MOST_DIGITS = 28
_PLUS, _MINUS = "{ABCDEFGHI", "}JKLMNOPQR"  # zoned in ASCII: the last digit with its sign, as EBCDIC shows it


class Codec(msgspec.Struct, frozen=True):
    """One field, ready: ``read`` takes its text and gives None for no value; both raise ``ValueError``."""

    name: str
    start: int
    end: int
    read: Read
    write: Write


def codec(name: str, field: FixedField, encoding: str) -> Codec:
    """Compile one field."""
    if field.type == "text":
        read, write = _text(field, encoding)
    elif field.type == "date":
        read, write = _date(field)
    elif field.type == "packed":
        read, write = _packed(field, encoding)
    elif field.type == "zoned":
        read, write = _zoned(field, encoding) if is_ebcdic(encoding) else _overpunched(field)
    else:
        read, write = _number(field)
    return Codec(name, field.at - 1, field.end, _reading(field, read), _writing(field, write))


def _reading(field: FixedField, read: Read) -> Read:
    """Around all types: no value, required, constant."""
    blank_is_text, empty = field.type == "text", field.empty

    def outer(text: str) -> Any:
        if 0 < len(text) < field.length and not blank_is_text:
            raise ValueError("the line ends within it")
        stripped = text.strip(_BLANK)
        nothing = stripped == empty if stripped or blank_is_text else True
        value = None if nothing else read(text)
        if field.required and value in (None, ""):
            raise ValueError("it is blank, and required")
        if field.const is not None and value != field.const:
            raise ValueError(f"{quote(text, 40)} is not {quote(field.const, 40)}")
        return value

    return outer


def _writing(field: FixedField, write: Write) -> Write:
    blank = (field.empty or "").ljust(field.length)

    def outer(value: Any) -> str:
        if value is None:
            value = field.const
        elif field.const is not None and value != field.const:
            raise ValueError(f"{quote(value, 40)} is not {quote(field.const, 40)}")
        if field.required and value in (None, ""):
            raise ValueError("it is missing, and required")
        if value is None:
            return blank
        text = write(value)
        if len(text) != field.length:
            raise ValueError(f"{quote(value, 40)} needs a length of {len(text)}; the field has {field.length}")
        return text

    return outer


def _text(field: FixedField, encoding: str) -> tuple[Read, Write]:
    pad, right = field.pad or " ", field.align == "right"

    def read(text: str) -> str:
        text = "" if not text.strip(_BLANK) else text
        if not text.isascii() and (wrong := _UNDECODED.search(text)):
            raise ValueError(f"the byte 0x{ord(wrong[0]) - 0xDC00:02X} is not {encoding}")
        if "\0" in text:
            raise ValueError("it contains a NUL character")
        if not field.trim:
            return text
        return text.lstrip(pad) if right else text.rstrip(pad)

    def write(value: Any) -> str:
        text = plain(value)
        try:
            text.encode(encoding)
        except UnicodeEncodeError as error:
            raise ValueError(f"{text[error.start]!r} is not in {encoding}") from error
        return text.rjust(field.length, pad) if right else text.ljust(field.length, pad)

    return read, write


def _date(field: FixedField) -> tuple[Read, Write]:
    format = str(field.format)
    read, write = reader(format), writer(format)
    assert read is not None  # only text has no reader
    parse = read
    return lambda text: parse(text.strip(_BLANK)), lambda value: write(value).ljust(field.length)


def _number(field: FixedField) -> tuple[Read, Write]:
    """Digits in plain sight, the decimal mark among them or implied."""
    pad, right = field.pad or ("0" if field.align != "left" else " "), field.align != "left"
    mark, implied = field.mark, 0 if field.mark else field.scale or 0
    part = rf"(?:{re.escape(mark)}([0-9]*))?" if mark else "()"
    pattern = re.compile(rf"([+-]?)([0-9]*){part}([+-]?)")
    noun = f"a number with the decimal mark {mark}" if mark else "a whole number" if not implied else "digits"

    def read(text: str) -> int | float:
        bare = text.strip(_BLANK)
        if pad not in " 0":
            bare = bare.lstrip(pad) if right else bare.rstrip(pad)
        match = pattern.fullmatch(bare)
        digits = match[2] + (match[3] or "") if match else ""
        if match is None or not digits or (match[1] and match[4]):
            raise ValueError(f"{quote(text, 40)} is not {noun}")
        scale = len(match[3] or "") if mark else implied
        return _value("-" in (match[1], match[4]), digits, scale, whole=not mark and not implied)

    def write(value: Any) -> str:
        number = _decimal(value)
        body = f"{abs(number):f}".replace(".", mark) if mark and field.scale is None else ""
        body = body or _fixed(number, field.scale or 0, mark)
        sign = "-" if number < 0 else ""
        lead, trail = (sign, "") if field.sign == "leading" else ("", sign)
        if right and pad == "0":
            return lead + body.rjust(field.length - len(sign), pad) + trail
        whole = lead + body + trail
        return whole.rjust(field.length, pad) if right else whole.ljust(field.length, pad)

    return read, write


def _packed(field: FixedField, encoding: str) -> tuple[Read, Write]:
    """COMP-3: two digits a byte, the sign in the last half byte."""
    scale, places = field.scale or 0, 2 * field.length - 1

    def read(text: str) -> int | float:
        shown = text.encode(encoding, ESCAPED).hex()
        digits, sign = shown[:-1], shown[-1]
        if not digits.isdigit() or sign.isdigit():
            raise ValueError(f"0x{shown[:40].upper()} is not packed decimal")
        return _value(sign in "bd", digits, scale, whole=not scale)

    def write(value: Any) -> str:
        negative, digits = _digits(value, scale, places, field.signed)
        sign = "D" if negative else "C" if field.signed else "F"
        return bytes.fromhex(digits + sign).decode(encoding, ESCAPED)

    return read, write


def _zoned(field: FixedField, encoding: str) -> tuple[Read, Write]:
    """DISPLAY in EBCDIC: a digit a byte, the sign in the upper half of the last one."""
    scale = field.scale or 0

    def read(text: str) -> int | float:
        shown = text.lstrip(" ").encode(encoding, ESCAPED).hex()
        zones, digits = shown[::2], shown[1::2]
        if not digits.isdigit() or zones[:-1].strip("f") or zones[-1].isdigit():
            raise ValueError(f"0x{shown[:40].upper()} is not zoned decimal")
        return _value(zones[-1] in "bd", digits, scale, whole=not scale)

    def write(value: Any) -> str:
        negative, digits = _digits(value, scale, field.length, field.signed)
        zone = "d" if negative else "c" if field.signed else "f"
        shown = "".join(f"f{digit}" for digit in digits[:-1]) + zone + digits[-1]
        return bytes.fromhex(shown).decode(encoding, ESCAPED)

    return read, write


def _overpunched(field: FixedField) -> tuple[Read, Write]:
    """The same as text: a letter or brace stands for the last digit and the sign."""
    scale = field.scale or 0

    def read(text: str) -> int | float:
        bare = text.strip(" ")
        last = max(_PLUS.find(bare[-1]), _MINUS.find(bare[-1]))
        digits = bare[:-1] + (str(last) if last >= 0 else bare[-1])
        if not (digits.isascii() and digits.isdigit()):
            raise ValueError(f"{quote(text, 40)} is not zoned decimal")
        return _value(bare[-1] in _MINUS, digits, scale, whole=not scale)

    def write(value: Any) -> str:
        negative, digits = _digits(value, scale, field.length, field.signed)
        last = int(digits[-1])
        return digits[:-1] + (_MINUS[last] if negative else _PLUS[last] if field.signed else digits[-1])

    return read, write


def _value(negative: bool, digits: str, scale: int, *, whole: bool) -> int | float:
    if significant(digits) > DIGITS:
        raise ValueError(f"{quote(digits, 40)} has more than {DIGITS} digits and would be rounded; make the field text")
    if whole:
        return -int(digits) if negative else int(digits)
    return float(f"{'-' if negative else ''}{digits}e-{scale}") + 0.0  # never a negative zero


def _decimal(value: Any) -> Decimal:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise InvalidOperation
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"{quote(value, 40)} is not a number") from error
    if not number.is_finite() or len(f"{number:f}") > _MOST_DIGITS:
        raise ValueError(f"{quote(value, 40)} is not a number of at most {_MOST_DIGITS} digits")
    return number


def _fixed(number: Decimal, scale: int, mark: str | None) -> str:
    """The digits without a sign; ``ValueError`` when some would be lost."""
    scaled = abs(number).scaleb(scale)
    if scaled != int(scaled):
        raise ValueError(f"{number:f} has more than {scale} digits behind the decimal mark")
    digits = str(int(scaled)).rjust(scale + 1, "0")
    if mark:
        return f"{digits[: len(digits) - scale]}{mark}{digits[len(digits) - scale :]}" if scale else digits
    return str(int(scaled))


def _digits(value: Any, scale: int, places: int, signed: bool) -> tuple[bool, str]:
    number = _decimal(value)
    digits = _fixed(number, scale, None)
    if number < 0 and not signed:
        raise ValueError(f"{quote(value, 40)} is negative, and the field has no sign")
    if len(digits) > places:
        raise ValueError(f"{quote(value, 40)} needs {len(digits)} digits; the field has {places}")
    return number < 0, digits.rjust(places, "0")
