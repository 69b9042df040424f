"""JSON from outside: what is refused, and in which words."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esb.errors import DecodeError
from esb.formats.numbers import decode_json


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "the body is empty"),
        (b" \n", "the body is empty"),
        (b"\xef\xbb\xbf{}", "byte-order mark"),
        ('{"a":1}'.encode("utf-16"), "byte-order mark"),
        (b'{"a":"\xe9"}', r"byte 6 \(0xE9\) is not UTF-8"),
        (b'{"a":NaN}', "NaN and Infinity are not JSON"),
        (b'{"a":[1,-Infinity]}', "NaN and Infinity are not JSON"),
        (b'{"a":1e400}', "out of range"),
        (b'{"a":"\\ud800"}', "half of a surrogate pair"),
        (b'{"a":"x\\udc00"}', "half of a surrogate pair"),
        (b'{"a":"\xed\xa0\x80"}', "is not UTF-8"),
        (b"{}{}", r"trailing characters \(byte 2\)|trailing characters \(byte 3\)"),
        (b'{"a" 1}', r"expected ':' \(byte 5\)"),
        (b"[" * 101 + b"]" * 101, "more than 100 objects and arrays"),
        (b"[" * 100_000 + b"]" * 100_000, "more than 100 objects and arrays"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "more than 100 objects and arrays"),
        (b"[" * 100_000, "not JSON|more than 100"),
        (b'{"a":[0,{"b":12345678901234567890}]}', r"12345678901234567890 at a\[1\].b has more than 15"),
        (b'{"a":0.1234567890123456}', "0.1234567890123456 at a has more than 15"),
        (b'{"a":123456789.12345678e3}', "at a has more than 15"),
        (b"-1234567890123456", "at the top has more than 15"),
        (b'{"a":123456789012345000}', "at a has more than 15"),
        (b'{"a":1' + b"0" * 400 + b"}", "at a has more than 15"),
        (b"-1" + b"0" * 400, "at the top has more than 15"),
        (b"1" + b"0" * 5000, "out of range"),
        (b"[" * 500 + b"1234567890123456" + b"]" * 500, "more than 100 objects and arrays"),
        (b"[" * 990 + b"1234567890123456" + b"]" * 990, "more than 100 objects and arrays"),
    ],
)
def test_refused(body, text):
    """Each fault has its own words and place; never a RecursionError."""
    with pytest.raises(DecodeError, match=text):
        decode_json(body)


@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b'{"a":123456789012345}', {"a": 123456789012345}),
        (b'{"a":0.00123456789012345}', {"a": 0.00123456789012345}),
        (b'{"a":1000000000000000000}', {"a": 10**18}),
        (b'{"a":1.0000000000000000000}', {"a": 1.0}),
        (b'{"a":"12345678901234567890"}', {"a": "12345678901234567890"}),
        (
            b'{"a":"IBAN DE89370400440532013000, 1234567890123456"}',
            {"a": "IBAN DE89370400440532013000, 1234567890123456"},
        ),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"[" * 100 + b"]" * 100, None),
        (b"[" + b'{"a":[]},' * 500 + b"1]", None),
        (b"null", None),
    ],
)
def test_accepted(body, document):
    """Long digits in texts, round numbers, many brackets side by side are fine; of a double key the last counts."""
    found = decode_json(body)
    assert document is None or found == document


@given(st.integers(min_value=-(10**20), max_value=10**20))
def test_no_integer_is_rounded(number):
    """A whole number comes in exactly as a double can keep it, or not at all."""
    try:
        document = decode_json(b'{"a": %d}' % number)
    except DecodeError:
        assert abs(number) > 10**15
    else:
        assert float(document["a"]) == document["a"] == number


@given(st.binary(max_size=60))
def test_garbage(body):
    """Whatever the bytes, there is a document or a DecodeError."""
    try:
        decode_json(body)
    except DecodeError as error:
        assert str(error)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**11), 10**11).map(lambda n: n / 8) | st.text(),
        st.lists,
        max_leaves=20,
    )
)
def test_documents_come_through(document):
    """What JSON can say comes back alike."""
    assert decode_json(msgspec.json.encode(document)) == document
