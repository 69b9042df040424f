"""What contracts hide: a mask that hides nothing is a mistake, and so is a key that shows what is hidden."""

from __future__ import annotations

import json

import pytest
from shops import Shop

from esb.config import masks
from esb.config.hidden import masks_of
from esb.flow import STEPS

ORDER = "contracts/order/v1.json"


def hide(shop: Shop, *paths: object, **more: object) -> None:
    """Give the order's contract an ``x-mask``."""
    schema = {**json.loads(shop.read(ORDER)), "x-mask": list(paths), **more}
    shop.write(ORDER, json.dumps(schema, indent=2))


def test_a_mask_that_leads_to_a_field_is_fine(shop: Shop) -> None:
    """By path, through lists, or to a header."""
    hide(shop, "lines[].sku", "lines.qty", "$message.headers.token")
    assert shop.findings() == []


def test_a_mask_that_leads_nowhere_names_the_nearest_field(shop: Shop) -> None:
    """At its own line in the contract."""
    hide(shop, "lines[].skuu")
    found = shop.only()
    line = 1 + next(n for n, text in enumerate(shop.read(ORDER).splitlines()) if "skuu" in text)
    assert (found.file, found.line, found.kind, found.hint) == (ORDER, line, "unknown-path", "sku")


@pytest.mark.parametrize("mask", ["lines[0].sku", "", "lines..sku", 7])
def test_a_mask_that_is_no_path_is_a_finding(shop: Shop, mask: object) -> None:
    """It says how one is written."""
    hide(shop, mask)
    assert shop.only().kind == "bad-contract"
    assert "such as" in shop.only().text


def test_the_business_key_cannot_be_hidden(shop: Shop) -> None:
    """People search by it, so it is shown everywhere."""
    hide(shop, "lines[].sku", **{"x-subject": "lines[0].sku"})
    assert "business key" in shop.only().text


# --- where it goes from there -------------------------------------------------------------------------------------

SALE = "contracts/pos.sale/v1.json"
TO_ORDER = "mappings/pos-sale-to-order.yaml"


def hide_in(shop: Shop, contract: str, *paths: str) -> None:
    """Give any contract an ``x-mask``."""
    shop.write(contract, json.dumps({**json.loads(shop.read(contract)), "x-mask": list(paths)}, indent=2))


def seen(shop: Shop) -> list[str]:
    """Where something hidden would be seen; nothing else is found."""
    found = shop.findings()
    assert {(finding.kind, finding.level) for finding in found} <= {("unmasked", "warning")}, found
    return [f"{finding.file}:{finding.pointer}" for finding in found]


def test_a_mapping_that_puts_a_hidden_field_where_it_is_seen_is_told(shop: Shop) -> None:
    """At the leaf, naming both contracts."""
    hide_in(shop, SALE, "remark")
    assert seen(shop) == [f"{TO_ORDER}:/set/note/from"]
    assert "pos.sale/v1 hides remark" in shop.only().text
    assert "x-mask of order/v1" in shop.only().text


def test_where_the_target_hides_it_too_nothing_is_told(shop: Shop) -> None:
    """The field alone, or all around it."""
    hide_in(shop, SALE, "remark", "customer_no")
    hide(shop, "note", "customer")
    assert seen(shop) == []


@pytest.mark.parametrize(
    ("leaf", "told"),
    [
        ("$substring(remark, 0, 4)", True),
        ('remark ? "yes" : "no"', False),
        ('$exists(remark) and cc = "UK" ? cc', False),
        ('remark = "x" ? remark', True),
        ("items[code = $$.remark].code", False),
    ],
)
def test_what_only_decides_is_not_shown(shop: Shop, leaf: str, told: bool) -> None:
    """A condition gives nothing of the value away but its answer."""
    hide_in(shop, SALE, "remark")
    shop.edit(TO_ORDER, '{from: remark, default: ""}', f"'{leaf}'")
    assert bool(seen(shop)) == told


def test_what_is_hidden_in_a_list_is_followed_into_its_elements(shop: Shop) -> None:
    """By a path from the element, and from the document around it."""
    hide_in(shop, SALE, "items[].code", "ticket")
    shop.write(SALE, json.dumps({**json.loads(shop.read(SALE)), "x-subject": "cc"}))
    assert seen(shop) == [f"{TO_ORDER}:/set/{at}" for at in ("orderId", "lines/set/sku", "lines/set/ticket")]


def test_an_object_that_holds_something_hidden_must_go_where_that_is_hidden(shop: Shop) -> None:
    """As a whole; which of its fields an expression means is not guessed."""
    hide_in(shop, SALE, "items[].code")
    for leaf, told in (("items", True), ("items.price", False), ("$sum(items.price)", False)):
        shop.write("mappings/copy.yaml", f"mapping: copy\nfrom: pos.sale/v1\nto: bag/v1\nset: {{things: '{leaf}'}}\n")
        shop.write("contracts/bag/v1.json", '{"type": "object", "properties": {"things": {}}}')
        shop.write("flows/bags.yaml", "flow: bags\nfrom: pos\nsteps: [{map: copy}, {send: warehouse.cancel}]\n")
        assert any("copy.yaml" in place for place in seen(shop)) == told, leaf


def test_a_step_that_copies_a_hidden_field_is_told(shop: Shop) -> None:
    """What has no target of its own keeps the masks of the document: the copy is not in them."""
    hide(shop, "note")
    shop.edit("flows/sales.yaml", """set: {region: '"EU"'}""", "set: {region: note}")
    assert seen(shop) == ["flows/sales.yaml:/steps/1/choose/1/otherwise/0/set/region"]


def test_a_document_must_not_go_on_under_a_contract_that_hides_less(shop: Shop) -> None:
    """Sent or published as it is, under another name."""
    shop.write("contracts/order.placed/v1.json", shop.read(ORDER))
    hide(shop, "note", "total")
    hide_in(shop, "contracts/order.placed/v1.json", "total")
    assert seen(shop) == ["flows/sales.yaml:/steps/2/publish"]
    assert "order/v1 hides note" in shop.only().text
    hide_in(shop, "contracts/order.placed/v1.json", "total", "note")
    shop.edit("endpoints/warehouse.yaml", "contract: order.placed/v1", "contract: order.kept/v1")
    shop.write("contracts/order.kept/v1.json", '{"type": "object"}')
    assert seen(shop) == ["flows/archive.yaml:/steps/1/send"]


def saga(shop: Shop, key: str = "orderId", more: str = "") -> None:
    """A saga over the warehouse, which starts with an order."""
    shop.write(
        "sagas/checkout.yaml",
        f"saga: checkout\nfrom: order.placed/v1\nkey: {key}\nsteps:\n"
        f"  - {{name: a, call: warehouse.order, compensate: warehouse.cancel{more}}}\n",
    )


def test_the_key_of_a_saga_cannot_be_hidden(shop: Shop) -> None:
    """It is shown, and searched for."""
    hide(shop, "note")
    saga(shop, key="note")
    found = shop.only()
    assert (found.kind, found.level, found.pointer) == ("unmasked", "error", "/key")


def test_the_key_of_a_group_cannot_be_hidden(shop: Shop) -> None:
    """What waits is shown with the key that it waits by."""
    hide(shop, "note")
    shop.edit("flows/sales.yaml", "  - publish:", "  - idempotent: {by: note}\n  - publish:")
    found = shop.only()
    assert (found.kind, found.level, found.pointer) == ("unmasked", "error", "/steps/2/idempotent/by")


def test_an_envelope_hides_what_is_in_it(shop: Shop) -> None:
    """Whatever the contract of the envelope says: what is in it is of another."""
    hide(shop, "note")
    shop.edit("flows/sales.yaml", "  - publish:", "  - wrap: {as: body}\n  - unwrap: body\n  - publish:")
    assert seen(shop) == []
    shop.edit("flows/sales.yaml", "{as: body}", "{as: body, to: box/v1}")
    shop.write("contracts/box/v1.json", '{"type": "object", "properties": {"body": {"type": "object"}}}')
    assert seen(shop) == []
    found = masks_of(shop.definition(), STEPS).of("box")
    assert found is not None
    assert found.document({"body": {"note": "x"}}) == {"body": {"note": "***"}}


def test_documents_made_of_something_hidden_would_be_seen(shop: Shop) -> None:
    """Of a document of its own nothing would be hidden; the fields within can be."""
    hide(shop, "lines")
    shop.edit(
        "flows/sales.yaml", "  - publish:", "  - split: {each: lines, do: {send: warehouse.cancel}}\n  - publish:"
    )
    assert seen(shop) == ["flows/sales.yaml:/steps/2/split"]
    hide(shop, "lines[].sku")
    assert seen(shop) == []


def test_what_undoes_a_step_hides_what_the_step_did(shop: Shop) -> None:
    """Without a mapping it is sent the same: the bus sees to it, and nothing is told."""
    hide(shop, "note")
    saga(shop)
    assert seen(shop) == []


def test_an_answer_stays_hidden_in_the_fields_that_are_taken_from_it(shop: Shop) -> None:
    """What ``enrich`` takes is hidden where it lies; where it goes from there is told."""
    shop.write("contracts/card/v1.json", '{"type": "object", "x-mask": ["pan"], "properties": {"pan": {}, "kind": {}}}')
    shop.edit("endpoints/warehouse.yaml", "adapter: web", "adapter: hearing")
    shop.edit("endpoints/warehouse.yaml", "cancel: {post: /cancel}", "cancel: {post: /cancel, reply: card/v1}")
    step = "enrich: {to: warehouse.cancel, set: {note: $answer.pan, region: $answer.kind}}"
    shop.edit("flows/sales.yaml", "  - publish:", f"  - {step}\n  - publish:")
    assert seen(shop) == []
    shop.edit("flows/sales.yaml", "  - publish:", "  - set: {region: note}\n  - publish:")
    assert seen(shop) == ["flows/sales.yaml:/steps/3/set/region"]
    found = masks_of(shop.definition(), STEPS).of("order")
    assert found is not None
    assert found.document({"note": "4111", "region": "visa"}) == {"note": "***", "region": "visa"}


# --- encryption ---------------------------------------------------------------------------------------------------


def test_a_server_needs_a_key_for_what_is_hidden(shop: Shop) -> None:
    """Every machine must have the same; an embedded database makes its own."""
    hide(shop, "note")
    assert shop.findings() == []
    shop.edit("esb.yaml", "bus: shop", "bus: shop\ndatabase: postgresql://db/esb")
    assert (shop.only().kind, shop.only().pointer) == ("unencrypted", "/database")
    shop.environ["KEY"] = "some-long-text"
    shop.edit("esb.yaml", "bus: shop", 'bus: shop\nencryption: {keys: ["secret:env:KEY"]}')
    assert shop.findings() == []


def test_without_the_library_nothing_is_hidden_by_halves(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The finding names the package; a bus that hides nothing needs none."""
    monkeypatch.setattr(masks, "find_spec", lambda name: None)
    assert shop.findings() == []
    hide(shop, "$message.headers.token")
    assert (shop.only().kind, "esb[encryption]" in shop.only().text) == ("unencrypted", True)
