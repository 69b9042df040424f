"""Grouping: neighbours with one key become one document, and what cannot be read spoils its own group only."""

import io

import pytest

from esb.errors import DecodeError
from esb.formats import FORMATS
from esb.formats.csv import CsvFormat, CsvSettings
from esb.formats.records import batch, group
from esb.ports import Record


def records(*rows):
    """``("1", "a")`` is a good record, ``("1", "a", "why")`` a broken one, ``(None, "a", "why")`` one without a key."""
    for number, (key, code, *error) in enumerate(rows, 1):
        document = {"t": key, "c": code} if key is not None else None
        yield Record(number, document, f"{key}{code};".encode(), *error)


def shape(*rows, **options):
    """Each group as its codes, or as its raw bytes when it is an error."""
    found = list(group(records(*rows), "t", **options))
    assert [record.number for record in found] == list(range(1, len(found) + 1))
    return [r.raw.decode() if r.error else "".join(line["c"] for line in r.document["lines"]) for r in found]


def test_group():
    """The document has the first record's fields and all records in full; raw is all their bytes."""
    (one, two) = group(records(("1", "a"), ("1", "b"), ("2", "c")), "t", "items")
    assert one.document == {"t": "1", "c": "a", "items": [{"t": "1", "c": "a"}, {"t": "1", "c": "b"}]}
    assert (one.number, one.raw, two.number, two.document["items"]) == (1, b"1a;1b;", 2, [{"t": "2", "c": "c"}])


def test_head():
    """Only the listed fields are taken up."""
    (one,) = group(records(("1", "a"), ("1", "b")), "t", head=["t"])
    assert set(one.document) == {"t", "lines"}


def test_head_that_differs():
    """A head field that differs within a group is an error that names it and both values."""
    (one,) = group(records(("1", "a"), ("1", "b")), "t", head=["t", "c"])
    assert one.error == 'record 2: c is "b", but "a" in record 1 of the same group'


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("1", "a"), ("1", "b", "e"), ("1", "c"), ("2", "d")], ["1a;1b;1c;", "d"]),
        ([("1", "a", "e"), ("1", "b"), ("2", "c")], ["1a;1b;", "c"]),
        ([("1", "a"), ("2", "b", "e"), ("2", "c")], ["a", "2b;2c;"]),
        ([("1", "a"), ("2", "b", "e"), ("1", "c")], ["1a;2b;1c;"]),
        ([("1", "a"), (None, "b", "e"), ("1", "c")], ["1a;Noneb;1c;"]),
        ([("1", "a"), (None, "b", "e"), ("2", "c")], ["a", "Noneb;", "c"]),
        ([("1", "a"), ("2", "b", "e"), ("2", "c", "e"), ("3", "d")], ["a", "2b;2c;", "d"]),
        ([("1", "a"), ("1", "b", "e")], ["1a;1b;"]),
        ([(None, "a", "e"), (None, "b", "e")], ["Nonea;", "Noneb;"]),
        ([("1", "a"), ("", "b"), ("1", "c")], ["1a;b;1c;"]),
        ([("1", "a"), ("2", "b"), ("1", "c")], ["a", "b", "c"]),
        ([], []),
    ],
)
def test_unreadable_records(rows, expected):
    """An unreadable record makes an error of the group it may belong to, and of no other."""
    assert shape(*rows) == expected


def test_many_unreadable_records_stream():
    """A stream of nothing but broken records does not pile up."""
    stream = (Record(n, None, b"x", "why") for n in range(10_000))
    assert next(group(stream, "t")).error == "record 0: why"
    assert next(stream).number < 2000


def test_groups_stream():
    """A group is out as soon as the next one begins."""
    endless = (Record(n, {"t": n // 2}, b"") for n in range(10_000))
    assert next(group(endless, "t")).document["lines"] == [{"t": 0}, {"t": 0}]
    assert next(endless).number < 10


def test_raw_of_a_csv_group_is_readable_again():
    """The bytes of a broken group carry the header line once, so a repaired one can be read by itself."""
    format = CsvFormat(CsvSettings.model_validate({"columns": {"n": {"integer": True}}}))
    stream = io.BytesIO(b"t,n\r\n1,5\r\n1,x\r\n2,7")
    broken, good = group(format.read(stream), "t", join=format.join)
    assert broken.raw == b"t,n\r\n1,5\r\n1,x\r\n"
    assert good.document["lines"] == [{"t": "2", "n": 7}]
    (again,) = group(format.read(io.BytesIO(broken.raw.replace(b"x", b"6"))), "t", join=format.join)
    assert [line["n"] for line in again.document["lines"]] == [5, 6]


def test_registry():
    """Formats are found by the word used in YAML."""
    assert {kind: format.kind for kind, format in FORMATS.items()} == {
        name: name for name in ("csv", "fixed_width", "json", "xml")
    }


def test_batches_stream_and_a_broken_record_spoils_none():
    """So many neighbours each, numbered without gaps; what cannot be read comes out by itself with its number."""
    rows = [Record(n, {"n": n}, b"") if n != 3 else Record(3, None, b"x", "why") for n in range(1, 7)]
    found = [(one.number, one.document, one.error) for one in batch(iter(rows), 2)]
    assert found == [
        (1, {"lines": [{"n": 1}, {"n": 2}]}, ""),
        (2, None, "record 3: why"),
        (3, {"lines": [{"n": 4}, {"n": 5}]}, ""),
        (4, {"lines": [{"n": 6}]}, ""),
    ]
    endless = (Record(n, {}, b"") for n in range(10_000))
    next(batch(endless, 10))
    assert next(endless).number == 10


def test_a_group_that_does_not_fit_into_memory_is_refused():
    """The one before it is out; each row weighs with the header line that it carries."""
    header = b"t," + b"a" * 60_000
    rows = header + b"\n1,x\n" + b"2,x\n" * 1500
    format = CsvFormat()
    found = group(format.read(io.BytesIO(rows)), "t", join=format.join)
    assert next(found).document["t"] == "1"
    with pytest.raises(DecodeError, match=r'record [0-9]+: the group with t "2" takes more than 64 MB'):
        next(found)


def test_unreadable_records_wait_only_as_long_as_they_fit_into_memory():
    """Large ones close the group before them earlier."""
    rows = (Record(n, {"t": "1"} if n == 1 else None, bytes(1024**2), "why" if n > 1 else "") for n in range(1, 200))
    found = group(rows, "t")
    assert next(found).document["t"] == "1"
    assert next(found).error == "record 2: why"
    assert next(rows).number < 70


def test_large_records_fill_a_batch():
    """8 MB are a message, however few records they are."""
    found = batch((Record(n, {"n": n}, bytes(1024**2)) for n in range(1, 21)), 500)
    assert [len(one.document["lines"]) for one in found] == [8, 8, 4]
