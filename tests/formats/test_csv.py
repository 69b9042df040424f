"""The CSV format: typed columns, broken rows with their bytes, other character sets, writing."""

import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from esb.errors import DecodeError
from esb.formats.csv import CsvFormat, CsvSettings

COLUMNS = {
    "price": {"decimal": ",", "thousands": "."},
    "date": "%d.%m.%Y",
    "n": {"integer": True},
    "ok": {"boolean": {True: ["J", "ja"], "false": ["N"]}},
    "code": "text",
}
HEADER = b"ticket;date;price;n;ok;code\r\n"
GOOD = b"1;24.12.2026;1.012,50;3;J;007\r\n"


def csv_format(**settings):
    return CsvFormat(CsvSettings.model_validate(settings))


TILL = csv_format(delimiter=";", encoding="cp1252", columns=COLUMNS)


def read(format, body):
    return list(format.read(io.BytesIO(body)))


def test_typed_columns():
    """Decimal marks, dates, whole numbers, words for true and false; text stays as it is."""
    (record,) = read(TILL, HEADER + GOOD)
    assert record.error == ""
    assert record.document == {
        "ticket": "1", "date": "2026-12-24", "price": 1012.5, "n": 3, "ok": True, "code": "007",
    }  # fmt: skip


def test_empty_cells():
    """An empty cell of a typed column is left out; of a text column it is an empty text."""
    (record,) = read(TILL, HEADER + b"1;;;;;\r\n")
    assert record.document == {"ticket": "1", "code": ""}


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (b"1;31.02.2026;1;1;J;x\r\n", 'column date: "31.02.2026" is not a date like %d.%m.%Y'),
        (b"1;24.12.2026;1,2,3;1;J;x\r\n", 'column price: "1,2,3" is not a number with the decimal mark ,'),
        (b"1;24.12.2026;1234567890123456;1;J;x\r\n", "column price: .* make the column text"),
        (b"1;24.12.2026;1%s;1;J;x\r\n" % (b"0" * 400), "column price: .* is larger than numbers can be"),
        (b"1;24.12.2026;1;1%s;J;x\r\n" % (b"0" * 400), "column n: .* is larger than numbers can be"),
        (b"1;24.12.2026;1;1.5;J;x\r\n", 'column n: "1.5" is not a whole number'),
        (b"1;24.12.2026;1;\xb2;J;x\r\n", "column n: .* is not a whole number"),
        (b"1;24.12.2026;1;1;Y;x\r\n", 'column ok: "Y" is none of J, ja, N'),
        (b"1;24.12.2026;1;1;J\r\n", "5 columns where the header has 6"),
        (b"1;24.12.2026;1;1;J;x;y\r\n", "7 columns where the header has 6"),
        (b"1;24.12.2026;1;1;J;\x81\r\n", "column code: the byte 0x81 is not cp1252"),
        (b"1;24.12.2026;1;1;J;a\0b\r\n", "NUL"),
        (b'1;24.12.2026;1;1;J;"open\r\n', "a quote is opened and never closed"),
        (b'1;24.12.2026;1;1;J;"a"b\r\n', "expected after"),
    ],
)
def test_broken_row(row, text):
    """A broken row names column and value, keeps its bytes behind the header, and the next rows are read."""
    before, broken, after = read(TILL, HEADER + GOOD + row + GOOD)
    assert (before.error, after.error) == ("", "")
    assert broken.raw == HEADER + row
    assert broken.document["ticket"] == "1"
    with pytest.raises(DecodeError, match=text):
        raise DecodeError(broken.error)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (b",".join(b"%d" % n + b"a" * 120_000 for n in range(8)), "the header line has 960016 bytes, .* 65536"),
        (b",".join(b"%d" % n for n in range(2001)), "the header line has 2001 columns, .* 2000"),
    ],
)
def test_a_header_line_that_every_row_would_carry(header, text):
    """Each row has the header line in its bytes and its names in its document: 1 MB would become gigabytes."""
    with pytest.raises(DecodeError, match=text):
        csv_format().read(io.BytesIO(header + b"\n" + b"1,2,3,4,5,6,7,8\n" * 600))


def test_the_widest_header_line_is_read():
    """What stays within the limits is a header line like any other."""
    names = [f"{n:031x}" for n in range(2000)]
    (record,) = read(csv_format(), ",".join(names).encode() + b"\n1" + b"," * 1999)
    assert (len(record.document), record.error) == (2000, "")


def test_names_in_the_settings_are_looked_at_once():
    """Doubles among many names are found without comparing each with all others."""
    started = time.process_time()
    csv_format(header=[f"{n:x}" for n in range(30_000)])
    assert time.process_time() - started < 2


def test_raw_is_readable_again():
    """What was kept of a row gives the same record again, and all of them joined give the stream again."""
    body = HEADER + GOOD + b'2;24.12.2026;1;1;J;"a;""b\r\nc"\r\n' + b"3;x\r\n" + GOOD.rstrip()
    records = read(TILL, body)
    for record in records:
        (again,) = read(TILL, record.raw)
        assert (again.document, again.error) == (record.document, record.error)
    assert TILL.join([record.raw for record in records]).rstrip() == body


def test_raw_without_header_line():
    """Where the names are given, a raw row is just the row."""
    format = csv_format(header=["a", "b"])
    records = read(format, b"1,2\n3,4")
    assert [(r.document, r.raw) for r in records] == [({"a": "1", "b": "2"}, b"1,2\n"), ({"a": "3", "b": "4"}, b"3,4")]
    assert format.join([r.raw for r in records]) == b"1,2\n3,4\r\n"


def test_unclosed_quote_does_not_swallow_the_file():
    """A quote that is never closed costs one row, however much stands behind it."""
    body = b"a,b\n" + b'1,"x\n' + b"".join(b"%d,y\n" % n for n in range(2, 200_000))
    records = read(csv_format(), body)
    assert len(records) == 199_999
    assert [r.number for r in records if r.error] == [1]
    assert records[1].document == {"a": "2", "b": "y"}


def test_rows_are_streamed():
    """A row is out before the rest is read."""
    stream = io.BytesIO(b"a,b\n" + b"1,2\n" * 100_000)
    next(csv_format().read(stream))
    assert stream.tell() < 100


def test_blank_rows():
    """Blank rows are passed over, unless told otherwise."""
    assert len(read(csv_format(), b"a,b\n\n1,2\n,\n  \n3,4\n")) == 2
    assert [bool(r.error) for r in read(csv_format(skip_blank=False), b"a,b\n\n1,2\n,\n")] == [True, False, False]


def test_trim_and_quote():
    """Spaces around cells go where asked; another quote, or none at all."""
    assert read(csv_format(trim=True), b"a,b\n 1 , 2\n")[0].document == {"a": "1", "b": "2"}
    assert read(csv_format(quote="'"), b"a,b\n'1,5',\"\n")[0].document == {"a": "1,5", "b": '"'}
    assert read(csv_format(quote=None), b'a,b\n"1,2\n')[0].document == {"a": '"1', "b": "2"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_encodings(encoding):
    """Each character set reads what it wrote, row by row again, and joined; line ends inside cells included."""
    format = csv_format(encoding=encoding)
    documents = [{"a": "ü", "b": "x\ny"}, {"a": "2", "b": "€"}]
    records = read(format, format.encode(documents))
    assert [r.document for r in records] == documents
    assert [read(format, r.raw)[0].document for r in records] == documents
    assert [r.document for r in read(format, format.join([r.raw for r in records]))] == documents


def test_large_utf16():
    """A wide character set is read in chunks that end anywhere."""
    format = csv_format(encoding="utf-16")
    documents = [{"a": f"{n}ü\u2028", "b": "x" * (n % 50)} for n in range(5000)]
    assert [r.document for r in read(format, format.encode(documents))] == documents


def test_byte_order_mark():
    """A mark that Excel puts in front is not part of the first name."""
    assert read(csv_format(), b"\xef\xbb\xbfa,b\n1,2\n")[0].document == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (b"a;a\n", "the column a stands twice"),
        (b"a;\n", "column 2 of the header has no name"),
        (b"a;\x81\n", "0x81 is not cp1252"),
        (b"a;b\n", "the header line has no column"),
    ],
)
def test_unusable_header(header, text):
    """Without a usable header line nothing can be read."""
    format = csv_format(delimiter=";", encoding="cp1252", columns={"zz": "text"} if header == b"a;b\n" else {})
    with pytest.raises(DecodeError, match=text):
        read(format, header + b"1;2\n")


def test_empty_stream():
    """Nothing gives no records."""
    assert read(TILL, b"") == []
    assert TILL.decode(HEADER) == []


def test_decode():
    """One row is a document, more are a list, a broken one is an error."""
    assert csv_format().decode(b"a\n1\n") == {"a": "1"}
    assert csv_format().decode(b"a\n1\n2\n") == [{"a": "1"}, {"a": "2"}]
    with pytest.raises(DecodeError, match="record 2: 2 columns"):
        csv_format().decode(b"a\n1\n2,3\n")


def test_encode():
    """Typed columns are written as they are read; quotes only where needed; all fields of all rows."""
    rows = [{"ticket": "1", "date": "2026-12-24", "price": 1e-7, "ok": False}, {"ticket": 'a;"b"', "n": 5}]
    assert TILL.encode(rows) == (b'ticket;date;price;ok;n\r\n1;24.12.2026;0,0000001;N;\r\n"a;""b""";;;;5\r\n')
    assert csv_format(header=["b", "a"]).encode({"a": 1.5, "b": True}) == b"true,1.5\r\n"


def test_encode_rows_of_a_document():
    """A mapping makes an object; the rows are a list in it."""
    assert csv_format(rows="lines").encode({"lines": [{"a": 1}, {"a": 2}], "b": 3}) == b"a\r\n1\r\n2\r\n"
    for document in ({"b": 3}, {"lines": {"a": 1}}, [{"a": 1}]):
        with pytest.raises(DecodeError, match="the field lines has no list of rows"):
            csv_format(rows="lines").encode(document)


def test_encode_guards_formulas():
    """Text that a spreadsheet would run gets a quote in front, where asked; numbers do not."""
    assert csv_format(guard_formulas=True).encode({"a": "=1+1", "b": -1}) == b"a,b\r\n'=1+1,-1\r\n"
    assert csv_format().encode({"a": "=1+1"}) == b"a\r\n=1+1\r\n"


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"x": {"y": 1}}, "row 1, column x: .* is not a single value"),
        ({"price": "abc"}, 'column price: "abc" is not a number'),
        ({"date": "24.12.2026"}, "column date: .* not an ISO 8601"),
        ({"ok": "J"}, "column ok: .* is not true or false"),
        ({"x": "漢"}, "'漢' is not in cp1252"),
        ([1], "row 1 is not an object"),
    ],
)
def test_unwritable(document, text):
    """What does not fit names its row and column."""
    with pytest.raises(DecodeError, match=text):
        TILL.encode(document)


def test_unknown_field():
    """A field without a column would be lost, so it is an error."""
    with pytest.raises(DecodeError, match="the field c is not one of the columns a, b"):
        csv_format(header=["a", "b"]).encode({"a": 1, "c": 2})


def test_needs_quotes():
    """A delimiter in a text cannot be written without quotes."""
    with pytest.raises(DecodeError, match="row 1"):
        csv_format(quote=None).encode({"a": "x,y"})


@pytest.mark.parametrize(
    "settings",
    [
        {"encoding": "klingon"},
        {"delimiter": ";;"},
        {"delimiter": '"'},
        {"header": False},
        {"header": ["a", "a"]},
        {"header": ["a"], "columns": {"b": "text"}},
        {"columns": {"a": "dd.mm"}},
        {"columns": {"a": {"decimal": ",", "integer": True}}},
        {"columns": {"a": {}}},
        {"columns": {"a": {"decimal": ",", "thousands": ","}}},
        {"columns": {"a": 5}},
        {"seperator": ";"},
    ],
)
def test_bad_settings(settings):
    """Settings that mean nothing are refused."""
    with pytest.raises(ValidationError):
        csv_format(**settings)


@pytest.mark.parametrize(
    ("format", "text", "iso"),
    [("%Y%m%d", "20261224", "2026-12-24"), ("%d.%m.%y %H:%M", "24.12.26 08:30", "2026-12-24T08:30:00"),
     ("%H%M", "0830", "08:30:00")],
)  # fmt: skip
def test_dates_and_times(format, text, iso):
    """A date, a date with a time, or a time alone, by what the format tells; and back."""
    one = csv_format(columns={"a": {"date": format}})
    assert one.decode(f"a\n{text}\n".encode()) == {"a": iso}
    assert one.encode({"a": iso}) == f"a\r\n{text}\r\n".encode()


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1))
def test_any_text_comes_back(rows):
    """Any text in any cell survives writing and reading."""
    format = csv_format(skip_blank=False)
    documents = [{"a": a, "b": b} for a, b in rows]
    assert [r.document for r in read(format, format.encode(documents))] == documents


@given(st.binary(max_size=200))
def test_no_byte_is_lost(body):
    """Whatever comes, the rows together are the bytes that came."""
    format = csv_format(header=["a", "b"], encoding="cp1252", skip_blank=False)
    assert b"".join(record.raw for record in read(format, body)) == body
