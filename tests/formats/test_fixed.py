"""The fixed-width format: fields by place, types of records, headers and trailers, EBCDIC, writing."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from esb.errors import DecodeError
from esb.formats import fixed_stream
from esb.formats.fixed import FixedWidthFormat, FixedWidthSettings
from esb.formats.records import group


def fixed(**settings):
    return FixedWidthFormat(FixedWidthSettings.model_validate(settings))


def one(length, **field):
    """A layout with one field."""
    return fixed(encoding="cp1252", fields={"a": {"at": 1, "length": length, **field}})


def read(format, body):
    return list(format.read(io.BytesIO(body)))


def documents(format, body):
    records = read(format, body)
    assert [record.error for record in records] == [""] * len(records)
    return [record.document for record in records]


STOCK = {
    "sku": {"at": 1, "length": 6, "required": True},
    "count": {"at": 7, "length": 5, "type": "integer"},
    "price": {"at": 12, "length": 7, "type": "decimal", "scale": 2},
    "day": {"at": 20, "length": 8, "type": "date", "format": "%Y%m%d", "empty": "00000000"},
}
PLAIN = fixed(encoding="cp1252", fields=STOCK)
BATCH = {
    "encoding": "cp037",
    "record_length": 20,
    "records": {
        "header": {
            "match": {"at": 1, "is": "H"},
            "fields": {
                "day": {"at": 2, "length": 8, "type": "date", "format": "%Y%m%d"},
                "shop": {"at": 10, "length": 3},
            },
            "carry": ["day", "shop"],
        },
        "detail": {
            "match": {"kind": "D"},
            "fields": {
                "kind": {"at": 1, "length": 1},
                "sku": {"at": 2, "length": 6, "required": True},
                "amount": {"at": 8, "length": 4, "type": "packed", "scale": 2},
                "left": {"at": 12, "length": 4, "type": "zoned"},
            },
        },
        "trailer": {
            "match": {"at": 1, "is": "T"},
            "fields": {
                "n": {"at": 2, "length": 5, "type": "integer"},
                "total": {"at": 7, "length": 5, "type": "packed", "scale": 2},
            },
            "count": "n",
            "sum": {"field": "total", "of": "amount"},
        },
    },
}  # fmt: skip
EBCDIC = fixed(**BATCH)


def e(text, *more):
    """A record of the batch in EBCDIC, from text and packed bytes."""
    return b"".join(part if isinstance(part, bytes) else part.encode("cp037") for part in (text, *more)).ljust(
        20, b"\x40"
    )


HEADER = e("H20260314S02")
FIRST = e("DT-100 ", b"\x00\x01\x29\x0c", b"\xf0\xf0\xf1\xc2")
SECOND = e("DT-422 ", b"\x00\x00\x79\x5d", b"\xf0\xf0\xf0\xd3")
TRAILER = e("T00002", b"\x00\x00\x00\x49\x5c")
ROWS = [
    {"record": "detail", "day": "2026-03-14", "shop": "S02", "kind": "D", "sku": "T-100", "amount": 12.9, "left": 12},
    {"record": "detail", "day": "2026-03-14", "shop": "S02", "kind": "D", "sku": "T-422", "amount": -7.95, "left": -3},
]


# --- fields ---------------------------------------------------------------------------------------------------------


def test_fields_by_place():
    """Text, whole numbers, decimals without a mark, dates; what lies between fields is nothing."""
    body = b"T-100 000120001295x20260314\n" + b"T-422     1     45 00000000\r\n"
    assert documents(PLAIN, body) == [
        {"sku": "T-100", "count": 12, "price": 12.95, "day": "2026-03-14"},
        {"sku": "T-422", "count": 1, "price": 0.45},
    ]
    assert documents(PLAIN, body.rstrip()) == documents(PLAIN, body)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ({}, "ab  ", "ab"), ({}, " ab ", " ab"), ({}, "    ", ""), ({}, "\0\0\0\0", ""),
        ({"trim": False}, "ab  ", "ab  "),
        ({"align": "right"}, "  ab", "ab"), ({"pad": "*"}, "ab**", "ab"), ({"empty": "NULL"}, "NULL", None),
        ({"type": "integer"}, "0012", 12), ({"type": "integer"}, "-012", -12), ({"type": "integer"}, "012-", -12),
        ({"type": "integer"}, "+12 ", 12), ({"type": "integer"}, "    ", None), ({"type": "integer"}, "0000", 0),
        ({"type": "integer", "empty": "9999"}, "9999", None), ({"type": "integer", "pad": "*"}, "**12", 12),
        ({"type": "decimal", "scale": 2}, "1295", 12.95), ({"type": "decimal", "scale": 2}, "-005", -0.05),
        ({"type": "decimal", "scale": 2}, "-000", 0), ({"type": "decimal", "mark": ","}, " 1,5", 1.5),
        ({"type": "decimal", "mark": "."}, "12.-", -12), ({"type": "date", "format": "%H%M"}, "0830", "08:30:00"),
        ({"type": "zoned"}, "012C", 123), ({"type": "zoned"}, "012L", -123), ({"type": "zoned"}, "0120", 120),
        ({"type": "zoned", "scale": 1}, "012}", -12), ({"const": "ABCD"}, "ABCD", "ABCD"),
    ],
)  # fmt: skip
def test_values(field, text, value):
    """Each type reads what stands there; blank, and what is said to be empty, is left out."""
    wide = fixed(fields={"x": {"at": 1, "length": 1}, "a": {"at": 2, "length": 4, **field}})
    assert documents(wide, b"x" + text.encode()) == [{"x": "x", "a": value} if value is not None else {"x": "x"}]


@pytest.mark.parametrize(
    ("field", "text", "error"),
    [
        ({"required": True}, b"    ", "it is blank, and required"),
        ({"const": "ABCD"}, b"ABCE", '"ABCE" is not "ABCD"'),
        ({}, b"a\x81bc", "the byte 0x81 is not cp1252"),
        ({}, b"a\0bc", "NUL"),
        ({"type": "integer"}, b"12a4", '"12a4" is not a whole number'),
        ({"type": "integer"}, b"-12-", "is not a whole number"),
        ({"type": "integer"}, b"1 24", "is not a whole number"),
        ({"type": "integer"}, b"12\xb2 ", "is not a whole number"),
        ({"type": "integer"}, b"--  ", "is not a whole number"),
        ({"type": "decimal", "scale": 2}, b"1.25", "is not digits"),
        ({"type": "decimal", "mark": ","}, b"1.25", "is not a number with the decimal mark ,"),
        ({"type": "date", "format": "%y%m"}, b"2613", "is not a date like %y%m"),
        ({"type": "zoned"}, b"01X4", "is not zoned decimal"),
        ({"type": "zoned"}, b"012Z", "is not zoned decimal"),
    ],
)
def test_unreadable_field(field, text, error):
    """A field that cannot be read is named with its place; the record keeps its bytes and the next ones are read."""
    layout = {"x": {"at": 1, "length": 1}, "a": {"at": 2, "length": 4, **field}}
    broken, after = read(fixed(encoding="cp1252", fields=layout), b"x" + text + b"\ny\n")
    assert broken.raw == b"x" + text + b"\n"
    assert broken.document == {"x": "x"}
    assert broken.error.startswith("field a (bytes 2 to 5): ")
    assert error in broken.error
    assert after.error == "it ends after 1 of 5 bytes"


@pytest.mark.parametrize(
    ("kind", "digits", "value"),
    [
        ("packed", b"\x12\x3c", 123), ("packed", b"\x12\x3d", -123), ("packed", b"\x12\x3f", 123),
        ("packed", b"\x12\x31", None),
        ("packed", b"\x1a\x3c", None), ("zoned", b"\xf1\xf2", 12), ("zoned", b"\xf1\xd2", -12),
        ("zoned", b"\xf1\xc2", 12),
        ("zoned", b"\x40\xf2", 2), ("zoned", b"\xc1\xf2", None), ("zoned", b"\xf1\x42", None),
        ("zoned", b"\xf1\xfa", None),
    ],
)  # fmt: skip
def test_cobol_numbers(kind, digits, value):
    """Packed and zoned digits as mainframes write them; other bytes are an error that shows them."""
    format = fixed(encoding="cp273", record_length=2, fields={"a": {"at": 1, "length": 2, "type": kind}})
    (record,) = read(format, digits)
    if value is None:
        assert f"0x{digits.hex().upper()} is not {kind} decimal" in record.error
    else:
        assert (record.document, record.error) == ({"a": value}, "")


def test_unset_cobol_fields():
    """Low values and spaces where digits belong are a field never set."""
    format = fixed(encoding="cp037", record_length=3, fields={"a": {"at": 1, "length": 3, "type": "packed"}})
    assert documents(format, b"\0\0\0\x40\x40\x40") == [{}, {}]


def test_long_numbers():
    """What would be rounded is refused by name."""
    format = fixed(encoding="cp037", record_length=9, fields={"a": {"at": 1, "length": 9, "type": "packed"}})
    (record,) = read(format, bytes.fromhex("12345678901234567c"))
    assert "more than 15 digits and would be rounded; make the field text" in record.error


# --- records --------------------------------------------------------------------------------------------------------


def test_header_and_trailer():
    """The header's values go into each detail; a trailer that is right, like the header, gives no record."""
    assert documents(EBCDIC, HEADER + FIRST + SECOND + TRAILER) == ROWS
    assert EBCDIC.encode(ROWS) == HEADER + FIRST + SECOND + TRAILER
    assert documents(EBCDIC, HEADER + e("T00000", b"\0\0\0\0\x0c")) == []


def test_wrong_trailer():
    """A trailer that does not fit names both figures, and the next batch is counted anew."""
    records = read(EBCDIC, HEADER + FIRST + TRAILER + HEADER + FIRST + SECOND + TRAILER)
    assert [bool(record.error) for record in records] == [False, True, False, False]
    assert records[1].error == "n is 2, but 1 records came before it; total is 4.95, but amount adds up to 12.9"
    assert (records[1].raw, records[1].document["record"]) == (TRAILER, "trailer")


def test_an_unreadable_detail():
    """It is an error with its bytes behind its header, is counted all the same, and can be read again once mended."""
    broken = SECOND.replace(b"\x79\x5d", b"\x79\x51")
    records = read(EBCDIC, HEADER + FIRST + broken + FIRST + TRAILER)
    assert [bool(record.error) for record in records] == [False, True, False, True]
    assert records[1].error.startswith("field amount (bytes 8 to 11): ")
    assert records[3].error == (
        "n is 2, but 3 records came before it; total is 4.95, but amount adds up to 25.8 (1 of them could not be read)"
    )
    assert records[1].raw == HEADER + broken
    assert documents(EBCDIC, records[1].raw.replace(broken, SECOND)) == ROWS[1:]
    assert documents(EBCDIC, EBCDIC.join([records[0].raw, HEADER + SECOND])) == ROWS


def test_headers_that_cannot_be_used():
    """The first header is the file's: without it nothing can be read. A later one costs its batch."""
    bad = e("H20261314S02")
    with pytest.raises(DecodeError, match="the header cannot be read: field day"):
        read(EBCDIC, bad + FIRST)
    records = read(EBCDIC, HEADER + FIRST + bad + SECOND + HEADER + FIRST)
    assert [bool(record.error) for record in records] == [False, True, True, False]
    assert records[2].error == "its header could not be read"
    assert read(EBCDIC, FIRST)[0].error == "there is no header before it"


def test_a_header_that_every_detail_would_carry():
    """A detail's bytes begin with those of its header, so these must not be most of the file."""
    header, detail = (
        {"match": {"at": 1, "is": kind}, "fields": {name: {"at": 2, "length": 2}}} for kind, name in ("Ha", "Db")
    )
    format = fixed(records={"header": header | {"carry": ["a"]}, "detail": detail})
    long = b"H12" + b" " * 70_000 + b"\n"
    with pytest.raises(DecodeError, match="the header cannot be read: it has 70004 bytes, and at most 65536 are taken"):
        read(format, long + b"D34\n" * 500)
    good, broken, *behind = read(format, b"H12\nD34\n" + long + b"D34\n" * 10)
    assert (good.error, broken.error[:14]) == ("", "it has 70004 b")
    assert {record.error for record in behind} == {"its header could not be read"}
    assert max(len(record.raw) for record in behind) < 66_000


def test_types_without_books():
    """Where a header carries nothing and a trailer checks nothing, they are documents like all others."""
    types = {
        name: {"match": {"at": 1, "is": name[0]}, "fields": {"v": {"at": 2, "length": 2}}}
        for name in ("header", "trailer")
    }
    format = fixed(records={**types, "line": {"fields": {"v": {"at": 1, "length": 3}}}})
    body = b"hab\nxyz\ntcd\n"
    found = [{"record": "header", "v": "ab"}, {"record": "line", "v": "xyz"}, {"record": "trailer", "v": "cd"}]
    assert documents(format, body) == found
    assert format.encode(found) == body


def test_a_record_of_no_type():
    """It is an error of its own."""
    (record,) = read(
        fixed(records={"a": {"match": {"at": 1, "is": "A"}, "fields": {"v": {"at": 2, "length": 1}}}}), b"B1\n"
    )
    assert (record.error, record.raw) == ("its type is none of a", b"B1\n")


def test_records_can_be_grouped():
    """Details of one key become one message; what is kept of them can be read again."""
    body = HEADER + FIRST + FIRST + SECOND
    first, second = group(EBCDIC.read(io.BytesIO(body)), "sku", "rows", ["sku"], EBCDIC.join)
    assert (len(first.document["rows"]), len(second.document["rows"])) == (2, 1)
    assert first.raw == HEADER + FIRST + FIRST


def test_a_block_cut_off():
    """A stream that ends within a record says so."""
    good, cut = read(fixed(record_length=4, fields={"a": {"at": 1, "length": 2}}), b"ab  cd")
    assert (good.document, cut.raw, cut.error) == (
        {"a": "ab"},
        b"cd",
        "the stream ends after 2 of the record's 4 bytes",
    )


def test_short_lines():
    """Lines that end early are an error, or where allowed blank; never is a number cut through."""
    assert read(PLAIN, b"T-100 00012\n")[0].error == "it ends after 11 of 27 bytes"
    short = fixed(fields=STOCK, short_lines=True)
    assert documents(short, b"T-100 00012\nT-1\n") == [{"sku": "T-100", "count": 12}, {"sku": "T-1"}]
    assert "field count (bytes 7 to 11): the line ends within it" in read(short, b"T-100 0001\n")[0].error


@pytest.mark.parametrize(
    ("encoding", "line_end", "end"),
    [("cp1252", "lf", b"\n"), ("ascii", "crlf", b"\r\n"), ("cp037", "nel", b"\x15"), ("cp500", "lf", b"\x25")],
)
def test_line_ends(encoding, line_end, end):
    """Lines end as said; blank ones are passed over; a byte is never taken for a line end of another character set."""
    format = fixed(encoding=encoding, line_end=line_end, fields={"a": {"at": 1, "length": 3}})
    body = "abc".encode(encoding) + end
    assert format.encode([{"a": "abc"}] * 2) == body * 2
    assert documents(format, end + body + end + body[:3]) == [{"a": "abc"}] * 2
    assert format.join([body[:3], body]) == body * 2


def test_characters():
    """UTF-8 has places only where characters are counted."""
    format = fixed(encoding="utf-8", characters=True, fields={"a": {"at": 1, "length": 3}, "b": {"at": 4, "length": 1}})
    body = "äö x\n漢  y\n".encode()
    assert documents(format, b"\xef\xbb\xbf" + body) == [{"a": "äö", "b": "x"}, {"a": "漢", "b": "y"}]
    assert format.encode(documents(format, body)) == body
    assert "characters 1 to 3): the byte 0xFF" in read(format, b"\xff  x\n")[0].error


def test_endless_line(monkeypatch):
    """A line without an end does not fill the memory; the line behind it is read."""
    monkeypatch.setattr(fixed_stream, "LONGEST", 100)
    broken, good = read(one(2), b"x" * 200_000 + b"\nab\n")
    assert (len(broken.raw), broken.error, good.document) == (100, "the line is longer than 0 MB", {"a": "ab"})


def test_records_are_streamed():
    """A record is out before the rest is read."""
    stream = io.BytesIO(b"ab\n" * 100_000)
    next(one(2).read(stream))
    assert stream.tell() < 100_000


def test_decode():
    """One record is a document, more are a list, a broken one is an error."""
    assert one(2).decode(b"ab\n") == {"a": "ab"}
    assert one(2).decode(b"ab\ncd") == [{"a": "ab"}, {"a": "cd"}]
    with pytest.raises(DecodeError, match="record 2: it ends after 1 of 2 bytes"):
        one(2).decode(b"ab\nc\n")


# --- writing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ({}, "ab", "ab  "), ({"align": "right", "pad": "*"}, "ab", "**ab"), ({}, 12, "12  "),
        ({"const": "X"}, None, "X   "),
        ({"type": "integer"}, 12, "0012"), ({"type": "integer"}, -12, "-012"), ({"type": "integer"}, "12", "0012"),
        ({"type": "integer", "sign": "trailing"}, -12, "012-"), ({"type": "integer", "pad": " "}, -12, " -12"),
        ({"type": "integer", "align": "left", "pad": " "}, 12, "12  "), ({"type": "integer"}, None, "    "),
        ({"type": "integer", "empty": "0000"}, None, "0000"), ({"type": "decimal", "scale": 2}, 12.9, "1290"),
        ({"type": "decimal", "scale": 2}, 0.05, "0005"), ({"type": "decimal", "mark": ","}, 1.5, "01,5"),
        ({"type": "decimal", "mark": ".", "scale": 2}, 1, "1.00"), ({"type": "decimal", "mark": "."}, 1e-2, "0.01"),
        ({"type": "date", "format": "%y%m"}, "2026-03-14", "2603"), ({"type": "zoned"}, -123, "012L"),
        ({"type": "zoned"}, 120, "012{"), ({"type": "zoned", "signed": False}, 123, "0123"),
    ],
)  # fmt: skip
def test_written_values(field, value, text):
    """Each type is written as it is read."""
    assert one(4, **field).encode({"a": value} if value is not None else {}) == text.encode() + b"\n"


@pytest.mark.parametrize(
    ("field", "document", "error"),
    [
        ({}, {"a": "abcde"}, 'field a: "abcde" needs a length of 5; the field has 4'),
        ({}, {"a": "漢"}, "field a: '漢' is not in cp1252"),
        ({}, {"a": "a\nb"}, "field a: .* contains a line end"),
        ({}, {"a": [1]}, "field a: .* is not a single value"),
        ({}, {"b": 1}, "record 1: the field b is not in the layout"),
        ({"required": True}, {}, "field a: it is missing, and required"),
        ({"const": "X"}, {"a": "Y"}, 'field a: "Y" is not "X"'),
        ({"type": "integer"}, {"a": 12345}, "needs a length of 5; the field has 4"),
        ({"type": "integer"}, {"a": -1234}, "needs a length of 5; the field has 4"),
        ({"type": "integer"}, {"a": 1.5}, "1.5 has more than 0 digits behind the decimal mark"),
        ({"type": "integer"}, {"a": True}, "true is not a number"),
        ({"type": "integer"}, {"a": "x"}, '"x" is not a number'),
        ({"type": "integer"}, {"a": "1e999"}, "is not a number of at most 28 digits"),
        ({"type": "integer"}, {"a": "NaN"}, "is not a number"),
        ({"type": "decimal", "scale": 2}, {"a": 0.123}, "0.123 has more than 2 digits"),
        ({"type": "date", "format": "%y%m"}, {"a": "14.3."}, "not an ISO 8601"),
        ({"type": "zoned"}, {"a": 12345}, "12345 needs 5 digits; the field has 4"),
        ({"type": "zoned", "signed": False}, {"a": -1}, "-1 is negative, and the field has no sign"),
        ({}, 5, "record 1 is not an object"),
    ],
)
def test_unwritable(field, document, error):
    """What does not fit names its record, its field and the length."""
    with pytest.raises(DecodeError, match=error):
        one(4, **field).encode(document)


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"record": "header"}, "a header is made from the details"),
        ({"record": "order"}, "record must name its type, one of header, detail, trailer"),
        ({"sku": "x", "day": "2026-03-14", "kind": "T"}, "would be read as one of the type trailer"),
        ({"sku": "x", "day": "14.3."}, "record 1, its header, field day"),
    ],
)
def test_unwritable_types(document, error):
    """A record that would be read as something else is not written."""
    with pytest.raises(DecodeError, match=error):
        EBCDIC.encode([document])


def test_batches_are_written():
    """Where what the header carries changes, a new batch begins, behind the trailer of the one before."""
    other = [{**row, "shop": "S03"} for row in ROWS]
    body = EBCDIC.encode(ROWS + other)
    assert (
        body == HEADER + FIRST + SECOND + TRAILER + HEADER.replace(b"\xf2\x40", b"\xf3\x40") + FIRST + SECOND + TRAILER
    )
    assert documents(EBCDIC, body) == ROWS + other
    assert EBCDIC.encode([]) == b""


# --- layouts --------------------------------------------------------------------------------------------------------

AT1 = {"at": 1, "length": 2}
BAD = {
    "nothing": {},
    "both": {"fields": {"a": AT1}, "records": {"x": {"fields": {"a": AT1}}}},
    "overlap": {"fields": {"a": AT1, "b": {"at": 2, "length": 2}}},
    "overlap in a type": {"records": {"x": {"fields": {"a": AT1, "b": {"at": 2, "length": 2}}}}},
    "beyond the record": {"record_length": 1, "fields": {"a": AT1}},
    "match beyond the record": {
        "record_length": 2, "records": {"x": {"match": {"at": 2, "is": "AB"}, "fields": {"a": AT1}}},
    },
    "from zero": {"fields": {"a": {"at": 0, "length": 2}}},
    "no length": {"fields": {"a": {"at": 1, "length": 0}}},
    "no such character set": {"encoding": "klingon", "fields": {"a": AT1}},
    "utf-8": {"encoding": "utf-8", "fields": {"a": AT1}},
    "utf-16": {"encoding": "utf-16", "fields": {"a": AT1}},
    "shift_jis": {"encoding": "shift_jis", "fields": {"a": AT1}},
    "characters elsewhere": {"encoding": "cp1252", "characters": True, "fields": {"a": AT1}},
    "characters in blocks": {"encoding": "utf-8", "characters": True, "record_length": 9, "fields": {"a": AT1}},
    "packed in lines": {"fields": {"a": {**AT1, "type": "packed"}}},
    "lines in blocks": {"record_length": 9, "line_end": "lf", "fields": {"a": AT1}},
    "nel in ascii": {"line_end": "nel", "fields": {"a": AT1}},
    "two without match": {"records": {"x": {"fields": {"a": AT1}}, "y": {"fields": {"a": AT1}}}},
    "a field called record": {"records": {"x": {"fields": {"record": AT1}}}},
    "match without field": {"records": {"x": {"match": {"b": "1"}, "fields": {"a": AT1}}}},
    "match of a wrong type": {"records": {"x": {"match": {"a": 1}, "fields": {"a": AT1}}}},
    "carry in a detail": {"records": {"x": {"fields": {"a": AT1}, "carry": ["a"]}}},
    "carry of nothing": {"records": {"header": {"fields": {"a": AT1}, "carry": ["b"]}}},
    "carry hides": {
        "records": {"header": {"match": {"a": "H"}, "fields": {"a": AT1}, "carry": ["a"]}, "x": {"fields": {"a": AT1}}},
    },
    "count in a detail": {"records": {"x": {"fields": {"a": {**AT1, "type": "integer"}}, "count": "a"}}},
    "count of text": {"records": {"trailer": {"fields": {"a": AT1}, "count": "a"}}},
    "sum of nothing": {
        "records": {"trailer": {"fields": {"a": {**AT1, "type": "integer"}}, "sum": {"field": "a", "of": "b"}}},
    },
    "date without format": {"fields": {"a": {**AT1, "type": "date"}}},
    "decimal without scale": {"fields": {"a": {**AT1, "type": "decimal"}}},
    "useless option": {"fields": {"a": {**AT1, "type": "integer", "trim": False}}},
    "const too long": {"fields": {"a": {**AT1, "const": "abc"}}},
    "const of a wrong type": {"fields": {"a": {**AT1, "const": 12}}},
    "digits behind a number": {"fields": {"a": {**AT1, "type": "integer", "align": "left"}}},
    "pad changes the number": {"fields": {"a": {**AT1, "type": "integer", "pad": "1"}}},
    "pad out of the set": {"fields": {"a": {**AT1, "pad": "ü"}}},
    "empty too long": {"fields": {"a": {**AT1, "empty": "000"}}},
}  # fmt: skip


@pytest.mark.parametrize("settings", BAD.values(), ids=BAD)
def test_bad_layouts(settings):
    """A layout that cannot be is refused when it is loaded."""
    with pytest.raises(ValidationError):
        fixed(**settings)


def test_findings_name_what_is_wrong():
    """Overlaps and ends name fields and figures."""
    with pytest.raises(ValidationError, match="b starts at 2, within a, which lies at 1 to 2"):
        fixed(**BAD["overlap"])
    with pytest.raises(ValidationError, match="a ends at 2, beyond record_length 1"):
        fixed(**BAD["beyond the record"])
    with pytest.raises(ValidationError, match="characters: true counts characters"):
        fixed(**BAD["utf-8"])


# --- there and back -------------------------------------------------------------------------------------------------

WORD = st.text(st.characters(codec="cp037", exclude_categories=["Cc"]), max_size=6).map(lambda text: text.rstrip(" "))
DETAILS = st.fixed_dictionaries(
    {
        "record": st.just("detail"),
        "kind": st.just("D"),
        "day": st.dates().filter(lambda day: day.year > 999).map(str),
        "shop": WORD.map(lambda text: text[:3].rstrip(" ")),
        "sku": WORD.filter(bool),
    },
    optional={
        "amount": st.integers(-9_999_999, 9_999_999).map(lambda number: number / 100),
        "left": st.integers(-9999, 9999),
    },
)


@given(st.lists(DETAILS, min_size=1, max_size=5))
def test_batches_come_back(rows):
    """Any details, with their headers, packed and zoned digits in EBCDIC, survive writing and reading."""
    assert documents(EBCDIC, EBCDIC.encode(rows)) == rows


LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff"), max_size=6)


@given(st.text("abcä€", max_size=6), st.integers(-9999, 99999), st.none() | st.integers(0, 9_999_999), LINE)
def test_lines_come_back(sku, count, price, text):
    """So do lines, in a one-byte character set and in characters."""
    price = {} if price is None else {"price": price / 100}
    row = {"sku": sku or "x", "count": count, **price}
    assert documents(PLAIN, PLAIN.encode(row)) == [row]
    wide = fixed(encoding="utf-8", characters=True, fields={"n": {"at": 7, "length": 1}, "t": {"at": 1, "length": 6}})
    assert documents(wide, wide.encode({"n": "1", "t": text.rstrip(" ")})) == [{"n": "1", "t": text.rstrip(" ")}]


@given(st.binary(max_size=100))
def test_no_byte_is_lost(body):
    """Whatever comes, the records together are the bytes that came."""
    format = fixed(encoding="cp500", record_length=7, fields={"a": {"at": 1, "length": 7, "type": "packed"}})
    assert b"".join(record.raw for record in read(format, body)) == body
