"""Masking: what a contract hides is in no document and in no text that is written down."""

import json
import re
import sys
from urllib import parse

import pytest

from esb.adapters.file.paths import file_name_part
from esb.contract import Contract
from esb.errors import ContractError
from esb.masking import Mask, Masks, covers, mask_of, path_of
from esb.message import create

CARD = "4111111111111111"
ORDER = {
    "x-mask": ["customer.card", "lines[].note", "$message.headers.X-Token"],
    "properties": {
        "customer": {"properties": {"card": {"type": "string", "maxLength": 16}, "name": {}}},
        "lines": {"type": "array", "items": {"properties": {"note": {"type": "string"}, "sku": {}}}},
    },
}


@pytest.fixture
def mask():
    return mask_of("order/v1", ORDER)


def order(**fields):
    document = {"customer": {"card": CARD, "name": "Ann"}, "lines": [{"note": "leave with Bob", "sku": "A"}], **fields}
    return create(
        json.dumps(document).encode(), type="order", source="shop", headers={"x-token": "t0k3n-value", "a": "b"}
    )


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("card", ("card",)),
        ("customer.card", ("customer", "card")),
        ("lines[].note", ("lines", "note")),
        ("lines[][].`a.b`.x-y", ("lines", "a.b", "x-y")),
    ],
)
def test_a_mask_is_a_path(text, path):
    """Names with dots between them; lists are looked through."""
    assert path_of(text) == path


@pytest.mark.parametrize("text", ["", ".a", "a.", "a..b", "a[0]", "a b", "$.card[*]"])
def test_what_is_no_path_is_refused(text):
    """So that a slip in writing does not hide nothing."""
    with pytest.raises(ValueError, match="is no path"):
        path_of(text)


def test_hidden_fields_are_covered_and_nothing_else(mask):
    """In lists too; what has no value stays without one, and numbers stay as they are written."""
    body = (
        b'{"customer":{"card":"4111","name":"Ann"},"lines":[{"note":7,"sku":1.10},{"note":null}],'
        b'"big":12345678901234567890}'
    )
    assert mask.body(body) == (
        b'{"customer":{"card":"***","name":"Ann"},"lines":[{"note":"***","sku":1.10},{"note":null}],'
        b'"big":12345678901234567890}'
    )


def test_a_field_hidden_as_a_whole_hides_what_is_in_it():
    """And a mask within it adds nothing, whichever comes first."""
    assert Mask([("a", "b"), ("a",)]).document({"a": {"c": 1}, "d": 2}) == {"a": "***", "d": 2}


def test_a_body_that_cannot_be_read_is_hidden_as_a_whole(mask):
    """Nobody knows what lies where."""
    assert mask.body(b"4111;Ann\n") == b"***"


def test_headers_are_covered_by_name(mask):
    """Whatever their case."""
    assert mask.message(order()).headers == {"x-token": "***", "a": "b"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"the other side says: {CARD} is blocked", "the other side says: *** is blocked"),
        ('expression `remark`: cannot read "leave with B…', 'expression `remark`: cannot read "***…'),
        ("token t0k3n-value refused", "token *** refused"),
        ('customer.card: "41" is too short', 'customer.card: "***" is too short'),
        ("line 12 has no sku", "line 12 has no sku"),
    ],
)
def test_hidden_values_are_taken_out_of_texts(mask, text, shown):
    """Whole, cut off, from a header, and derived ones where the text names the field."""
    assert mask.text(text, order()) == shown


def test_however_many_values_are_hidden_no_pattern_is_made_for_one(mask, monkeypatch):
    """A message of a few megabytes hides hundreds of thousands: each would cost a tenth of a millisecond, and each text
    that is written about it all of them again."""
    made = []
    compiled = re._compiler.compile
    monkeypatch.setattr(re._compiler, "compile", lambda *args: made.append(args) or compiled(*args))
    message = order(lines=[{"note": f"n{number:05d}"} for number in range(400)])
    assert mask.text("they say: n00007, n00399 and n00400", message) == "they say: ***, *** and n00400"
    assert len(made) < 5


def test_a_text_takes_no_longer_where_more_is_hidden():
    """What is done for it is counted: the same for ten values and for a thousand, alike in their heads or not."""

    def done(count: int) -> int:
        calls = 0

        def count_calls(*_):
            nonlocal calls
            calls += 1

        notes = [f"n{number:04d}" for number in range(count)] + [f"a note that is long, {n:04d}" for n in range(count)]
        about = Mask([("notes",)]).about(create(json.dumps({"notes": notes}).encode(), type="order", source="shop"))
        about.text("the values are sought out now")
        sys.setprofile(count_calls)
        try:
            shown = about.text("no n0007, no 'a note that is long, 0003', no a note that is lost, " * 20)
        finally:
            sys.setprofile(None)
        assert shown == "no ***, no '***', no ***st, " * 20
        return calls

    assert done(1000) < 2 * done(10)


def test_values_that_overlap_in_a_text_are_both_hidden(mask):
    """Nothing of one is left because the other was found first."""
    message = order(lines=[{"note": "a b"}, {"note": "b c d"}])
    assert mask.text("it is a b c d, and a b", message) == "it is ***, and ***"


@pytest.mark.parametrize("value", ['a"quoted"\nnote that is long', "Zoë, Straße 7, Köln am Rhein", "back\\slash\\path"])
def test_a_value_is_found_however_it_is_written(mask, value):
    """As it is, as JSON, and as Python shows it."""
    message = order(lines=[{"note": value}])
    for form in (value, json.dumps(value), json.dumps(value, ensure_ascii=False), ascii(value)):
        assert value[2:8] not in mask.text(f"it says {form} here", message)


@pytest.mark.parametrize(
    "value", ["anna.ax@example.org", "K/4711", "K 7", "Zoë", '5% off: it\'s "new"', ".hidden", "a+b c"]
)
def test_a_value_is_found_percent_encoded(mask, value):
    """In a path, a query, a form, the name of a file, or as another side writes it that escapes more or less."""
    message = order(lines=[{"note": value}])
    lower = re.sub("%..", lambda found: found[0].lower(), parse.quote(value, safe=""))
    forms = [parse.quote(value, safe=""), parse.quote(value), parse.quote_plus(value), file_name_part(value), lower]
    for form in [*forms, "".join(f"%{byte:02X}" for byte in value.encode())]:
        assert mask.text(f"/shelf-a%20b/{form}?x answered", message) == "/shelf-a%20b/***?x answered"


def test_a_number_is_found_as_programs_write_it(mask):
    """What a document says with two decimals stands in a path with one."""
    message = create(b'{"lines": [{"note": 41.10}]}', type="order", source="shop")
    assert mask.text("/paid/41.1 or 41.10", message) == "/paid/*** or ***"


def test_short_values_are_taken_out_as_words(mask):
    """A 7 that is hidden does not tear up a 17."""
    assert mask.text("7 of 17 failed", order(lines=[{"note": 7}])) == "*** of 17 failed"


def test_of_an_unreadable_message_no_quoted_value_is_kept(mask):
    """Where it stood is unknown, so what is quoted may be it."""
    message = create(b"\xff;4111", type="order", source="shop", content_type="text/csv")
    assert mask.text("row 3, column card: '4111' is no number", message) == "row 3, column card: *** is no number"
    assert mask.text("orders.csv:12: 4111-11 is no number", message) == "orders.csv:12: *** is no number"


def test_a_business_key_that_shows_a_hidden_value_is_covered(mask):
    """It is written down beside the message."""
    assert mask.message(create(order().body, type="order", source="shop", subject=CARD)).subject == "***"


def test_masks_hold_below_a_reference():
    """A contract within another takes its masks along."""
    customer = {"x-mask": ["card"], "properties": {"card": {}}}
    schema = {"properties": {"buyers": {"type": "array", "items": {"$ref": "customer/v1"}}, "card": {}}}
    found = mask_of("order/v1", schema, {"customer/v1": customer, "order/v1": schema})
    assert found.document({"buyers": [{"card": 1}], "card": 2}) == {"buyers": [{"card": "***"}], "card": 2}


def test_contracts_that_refer_to_each_other_end():
    """A chain of references that closes is followed once."""
    one = {"x-mask": ["a"], "properties": {"b": {"$ref": "two/v1"}}}
    two = {"x-mask": ["c"], "properties": {"d": {"$ref": "one/v1"}}}
    assert mask_of("one/v1", one, {"one/v1": one, "two/v1": two}).fields == (("a",), ("b", "c"))


def test_a_mask_of_one_version_holds_for_all():
    """A document may have lost its version on the way."""
    masks = Masks({"order/v1": Mask([("a",)]), "order/v2": Mask([("b",)]), "note/v1": Mask()})
    found = masks.of("order")
    assert found is not None
    assert found.document({"a": 1, "b": 2}) == {"a": "***", "b": "***"}
    assert masks.of("note") is None


def test_a_header_is_hidden_in_whatever_comes_of_its_message():
    """Descendants inherit headers, and are of another type."""
    masks = Masks({"order/v1": Mask([("a",)], ["Token"]), "note/v1": Mask()})
    for type in ("order", "note", "unknown"):
        found = masks.of(type)
        assert found is not None
        assert found.shown_headers({"token": "x", "lang": "en"}) == {"token": "***", "lang": "en"}


def test_what_is_hidden_everywhere_is_hidden_beside_what_a_contract_hides():
    """An answer that a document keeps is there in whatever contract the document goes on."""
    masks = Masks({"order/v1": Mask([("a",)])}, Mask([("stock", "pin")]))
    document = {"a": 1, "stock": {"pin": 2, "left": 3}}
    order, other = masks.of("order"), masks.of("other")
    assert order is not None
    assert other is not None
    assert order.document(document) == {"a": "***", "stock": {"pin": "***", "left": 3}}
    assert other.document(document) == {"a": 1, "stock": {"pin": "***", "left": 3}}


def test_a_text_that_names_what_is_hidden_anywhere_keeps_no_value():
    """It may be about what was made of the message: the value itself is in no document that is at hand."""
    masks = Masks({"payment/v1": Mask([("pan",)])})
    said = """mappings/pay.yaml:1234: pan: cannot read '41-11' (card is "4111", sum is 41111111, {"id": "x"})"""
    shown = """mappings/pay.yaml:1234: pan: cannot read '***' (card is "***", sum is ***, {"id": "***"})"""
    assert masks.text(said, order()) == shown
    assert masks.text("card is '4111'", order()) == "card is '4111'"


@pytest.mark.parametrize(
    ("one", "other", "held"),
    [
        ({}, {"a": {}}, True),
        ({"a": {}}, {"a": {"b": {}}}, True),
        ({"a": {"b": {}}}, {"a": {}}, False),
        ({"a": {"b": {}}}, {"a": {"b": {}}}, True),
        (None, {"a": {}}, False),
        ({"a": {}}, None, True),
        ({"a": {}}, {"a": {}, "b": {}}, False),
    ],
)
def test_one_mask_covers_another_where_it_hides_all_of_it(one, other, held):
    """Hiding an object hides what is in it."""
    assert covers(one, other) == held


def test_a_violation_does_not_quote_what_is_hidden():
    """Neither the field's own value, nor one around it."""
    contract = Contract("order/v1", {**ORDER, "additionalProperties": False, "maxProperties": 2})
    document = {"customer": {"card": CARD + "7"}, "lines": [{"note": 4242}], "more": 1}
    with pytest.raises(ContractError) as caught:
        contract.check(document)
    assert "/customer/card" in str(caught.value)
    assert CARD not in str(caught.value)
    assert "4242" not in str(caught.value)
    assert CARD not in str(caught.value.violations)
