"""The JSON format: documents, lines, arrays."""

import io

import pytest
from pydantic import ValidationError

from esb.errors import DecodeError
from esb.formats.json import JsonFormat, JsonSettings


def json_format(**settings):
    return JsonFormat(JsonSettings.model_validate(settings))


def read(format, body):
    return list(format.read(io.BytesIO(body)))


def test_one_document():
    """By default a stream is one document."""
    (record,) = read(json_format(), b'{"a": 1}')
    assert (record.number, record.document, record.raw, record.error) == (1, {"a": 1}, b'{"a": 1}', "")


def test_broken_document():
    """A document that cannot be read comes out with its bytes."""
    (record,) = read(json_format(), b'{"a"')
    assert record.raw == b'{"a"'
    assert record.error.startswith("not JSON")


def test_lines():
    """A broken line is an error of its own; reading goes on; every raw line can be read again."""
    format = json_format(records="lines")
    records = read(format, b'{"a":1}\n\n{"a":}\r\n{"a":3}')
    assert [record.document for record in records] == [{"a": 1}, None, {"a": 3}]
    assert [bool(record.error) for record in records] == [False, True, False]
    assert records[1].raw == b'{"a":}\r\n'
    assert [r.document for r in read(format, format.join([r.raw for r in records]))] == [{"a": 1}, None, {"a": 3}]


def test_a_line_with_an_immense_number_does_not_end_the_stream():
    """Nor one that is deep and has a long number; the lines behind them are read."""
    deep = b"[" * 990 + b"1234567890123456" + b"]" * 990
    records = read(json_format(records="lines"), b"1\n1" + b"0" * 400 + b"\n" + deep + b"\n4\n")
    assert [(record.document, bool(record.error)) for record in records] == [
        (1, False), (None, True), (None, True), (4, False),
    ]  # fmt: skip


def test_lines_are_streamed():
    """A line is out before the next one is read."""
    stream = io.BytesIO(b"1\n" * 100_000)
    next(json_format(records="lines").read(stream))
    assert stream.tell() < 10


def test_endless_line(monkeypatch):
    """A line without an end does not fill the memory; the line behind it is read."""
    monkeypatch.setattr("esb.formats.json.LONGEST", 100)
    records = read(json_format(records="lines"), b'"' + b"x" * 1000 + b'"\n2\n')
    assert [(record.document, len(record.raw)) for record in records] == [(None, 101), (2, 2)]


def test_array():
    """Each element is a record; one that cannot be read does not spoil the others; raw can be read again."""
    format = json_format(records="array", pointer="/d/o")
    records = read(format, b'{"x":1,"d":{"o":[{"a":1}, {"a":12345678901234567},3]}}')
    assert [record.document for record in records] == [{"a": 1}, None, 3]
    assert "12345678901234567 at a" in records[1].error
    assert read(format, records[0].raw)[0].document == {"a": 1}
    assert [r.document for r in read(format, format.join([r.raw for r in records]))] == [{"a": 1}, None, 3]


@pytest.mark.parametrize(
    ("body", "text"), [(b'{"d":{}}', "there is no /d/o"), (b'{"d":{"o":5}}', "no array at /d/o"), (b"", "empty")]
)
def test_no_array(body, text):
    """Where the array is missing nothing can be read."""
    with pytest.raises(DecodeError, match=text):
        read(json_format(records="array", pointer="/d/o"), body)


@pytest.mark.parametrize(
    ("settings", "document", "body"),
    [
        ({}, {"a": [1, "ü"]}, '{"a":[1,"ü"]}'.encode()),
        ({"indent": 2}, {"a": 1}, b'{\n  "a": 1\n}'),
        ({"records": "lines"}, [1, {"a": 2}], b'1\n{"a":2}\n'),
        ({"records": "lines"}, {"a": 2}, b'{"a":2}\n'),
        ({"records": "array", "pointer": "/d"}, [1], b'{"d":[1]}'),
        ({"encoding": "cp1252"}, {"a": "ü"}, b'{"a":"\xfc"}'),
        ({"encoding": "utf-8-sig"}, {"a": 1}, b'\xef\xbb\xbf{"a":1}'),
    ],
)
def test_encode(settings, document, body):
    """Compact unless indented; a list becomes records."""
    assert json_format(**settings).encode(document) == body


def test_round_trip_in_another_encoding():
    """A byte-order mark and another character set are read where the settings say so."""
    assert json_format(encoding="utf-8-sig").decode(b'\xef\xbb\xbf{"a":1}') == {"a": 1}
    assert json_format(encoding="cp1252").decode(b'{"a":"\xfc"}') == {"a": "ü"}
    with pytest.raises(DecodeError, match=r"0x81.* is not cp1252"):
        json_format(encoding="cp1252").decode(b'"\x81"')


@pytest.mark.parametrize(
    ("settings", "document", "text"),
    [
        ({}, {"a": object()}, "cannot be written"),
        ({}, "\ud800", "cannot be written"),
        ({"encoding": "cp1252"}, "漢", "漢"),
    ],
)
def test_unwritable(settings, document, text):
    """What does not fit the format is a DecodeError."""
    with pytest.raises(DecodeError, match=text):
        json_format(**settings).encode(document)


@pytest.mark.parametrize(
    "settings",
    [
        {"encoding": "klingon"},
        {"pointer": "/a"},
        {"records": "array", "pointer": "a"},
        {"records": "lines", "encoding": "utf-16"},
        {"records": "lines", "indent": 2},
        {"recods": "lines"},
    ],
)
def test_bad_settings(settings):
    """Settings that mean nothing are refused."""
    with pytest.raises(ValidationError):
        json_format(**settings)
