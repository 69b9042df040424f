"""Contracts: what a document is told when it breaks one, and which schemas are refused."""

import pytest

from esb.contract import Contract
from esb.errors import ContractError
from esb.expression import Data

LINE = {"type": "object", "required": ["sku"], "properties": {"qty": {"type": "integer", "minimum": 1}}}
ORDER = {
    "type": "object",
    "x-subject": "id",
    "required": ["id", "lines"],
    "properties": {
        "id": {"pattern": "^SO-"},
        "day": {"type": "string", "format": "date"},
        "lines": {"type": "array", "items": {"$ref": "line/v1"}},
        "gift": {"$ref": "esb:line/v1"},
        "note": {"$ref": "#/$defs/note"},
        "mode": {"const": "a"},
    },
    "$defs": {"note": {"type": "string", "maxLength": 5}},
}


@pytest.fixture
def order():
    return Contract("order/v1", ORDER, {"line/v1": LINE})


def violations(contract, document):
    with pytest.raises(ContractError) as caught:
        contract.check(document)
    assert caught.value.contract == contract.ref
    return dict(caught.value.violations)


def test_name(order):
    """A contract knows its type and version."""
    assert (order.ref, order.type, order.version) == ("order/v1", "order", 1)


def test_valid(order):
    """A document that meets its contract passes, references within and between contracts included."""
    order.check({"id": "SO-1", "lines": [{"sku": "a", "qty": 1}], "gift": {"sku": "b"}, "note": "hi", "mode": "a"})


def test_violations(order):
    """Each violation is a sentence with its place and value."""
    document = {"id": "4711", "day": "2026-13-01", "lines": [{"sku": "a"}, {"qty": 0}], "note": "too long", "mode": "b"}
    assert violations(order, document) == {
        "/id": '"4711" does not match "^SO-"',
        "/day": '"2026-13-01" is not a "date"',
        "/lines/1": '"sku" is a required property',
        "/lines/1/qty": "0 is less than the minimum of 1",
        "/note": '"too long" is longer than 5 characters',
        "/mode": '"a" was expected, not "b"',
    }


def test_long_values_are_cut(order):
    """However large the value, the sentence stays short."""
    found = violations(order, {"id": "x" * 10_000, "lines": ["y" * 10_000]})
    assert max(map(len, found.values())) < 130


def test_at_most_ten(order):
    """A thousand faults are told as ten, and more."""
    with pytest.raises(ContractError, match=r"; and more$") as caught:
        order.check({"id": "SO-1", "lines": [{}] * 1000})
    assert len(caught.value.violations) == 10


def test_pointer_is_escaped():
    """A field with / or ~ in its name has a proper JSON pointer (RFC 6901)."""
    contract = Contract("a/v1", {"properties": {"x/y~z": {"type": "string"}}})
    assert list(violations(contract, {"x/y~z": 1})) == ["/x~1y~0z"]


@pytest.mark.parametrize(("document", "subject"), [({"id": "SO-1"}, "SO-1"), ({"id": 5}, "5"), ({}, None)])
def test_subject(order, document, subject):
    """The business key comes from x-subject, as text; converted data is taken as it is."""
    assert order.subject(document) == subject
    assert order.subject(Data(document)) == subject


def test_no_subject():
    """Without x-subject there is none."""
    assert Contract("a/v1", {}).subject({"id": 1}) is None


def test_a_business_key_has_an_end(order):
    """It travels in a header and is kept whole: a longer one is this document's failure, with the field and lengths."""
    assert order.subject({"id": "x" * 500}) == "x" * 500
    with pytest.raises(ContractError, match=r"order/v1: x-subject `id` gives .* of 501 characters, .* 500") as caught:
        order.subject({"id": "x" * 501})
    assert caught.value.contract == "order/v1"


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"$ref": "http://example.com/x"}, r"\$ref at /\$ref: http://example.com/x is not a contract"),
        ({"items": {"$ref": "file:///etc/passwd"}}, r"\$ref at /items/\$ref: file:///etc/passwd is not a contract"),
        ({"$ref": "order/v1"}, "there is no contract order/v1"),
        ({"$ref": "esb:line/v1#/$defs/x"}, r"there is nothing at esb:line/v1#/\$defs/x"),
        ({"$ref": "#/$defs/x"}, r"there is nothing at #/\$defs/x"),
        ({"properties": {"a": {"pattern": "(?=a)b"}}}, r'at /properties/a/pattern: "\(\?=a\)b" is not a "regex"'),
        ({"properties": {"a": {"format": "date-tme"}}}, "at /properties/a/format: Unknown format: 'date-tme'"),
        ({"type": "strng"}, 'at /type: "strng" is not valid'),
        ({"x-subject": "a +"}, "at character 3"),
    ],
)
def test_wrong_schema(schema, text):
    """A wrong schema is refused when it is loaded, with the place."""
    with pytest.raises(Exception, match=text):
        Contract("x/v1", schema, {"line/v1": LINE})


def test_missing_sibling_of_a_sibling():
    """The contract that holds the broken reference is named."""
    with pytest.raises(ContractError, match=r"contract b/v1: .* there is no contract c/v1"):
        Contract("a/v1", {"$ref": "b/v1"}, {"b/v1": {"$ref": "c/v1"}})


def test_data_that_looks_like_a_reference():
    """Below const, enum, default and examples there is data, and a property may be named $ref."""
    Contract("a/v1", {"const": {"$ref": "x/v1"}, "properties": {"$ref": {"type": "string"}}})


def test_evil_pattern_is_linear(order):
    """A pattern that hangs a backtracking engine ends here."""
    contract = Contract("a/v1", {"pattern": "^(a+)+$"})
    assert "" in violations(contract, "a" * 50_000 + "b")


@pytest.mark.parametrize("ref", ["order", "order/v", "/v1"])
def test_bad_name(ref):
    """A contract's name has a type and a version."""
    with pytest.raises(ContractError, match="a name such as"):
        Contract(ref, {})
