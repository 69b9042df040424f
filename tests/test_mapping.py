"""Mappings: what each kind of leaf gives, and what an error tells."""

import pytest

from esb.errors import MappingError
from esb.expression import Data
from esb.mapping import Mapping, Use, lookup, referenced_expressions

SALE = {
    "orderId": '"SO-" & ticket',
    "currency": {"const": "GBP"},
    "customer": {"id": "customer_no", "country": "$countries(cc)"},
    "lines": {"each": "items", "set": {"sku": "code", "qty": "$number(n)"}},
    "note": {"from": "remark", "default": ""},
}
TICKET = {"ticket": 4711, "customer_no": "c1", "cc": "GB", "items": [{"code": "a", "n": "2"}]}


def apply(tree, document, bindings=None, **lookups):
    return Mapping("m", tree, lookups=lookups).apply(Data(document), bindings)


def sale(document):
    lines = {("customer", "country"): 7, ("lines",): 10, ("lines", "set", "qty"): 12}
    mapping = Mapping("sale", SALE, lookups={"countries": {"GB": "UK"}}, lines=lines, file="mappings/sale.yaml")
    return mapping.apply(Data(document))


def test_a_sale_becomes_an_order():
    """Expressions, constants, a lookup, a default and a list, in one tree."""
    assert sale(TICKET) == {
        "orderId": "SO-4711",
        "currency": "GBP",
        "customer": {"id": "c1", "country": "UK"},
        "lines": [{"sku": "a", "qty": 2}],
        "note": "",
    }


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"a": 1, "b": True, "c": None, "d": {"const": "x"}}, {"a": 1, "b": True, "c": None, "d": "x"}),
        ({"a": "x", "b": "missing", "c": "null_"}, {"a": 1}),
        ({"a": {"b": "missing"}}, {}),
        ({"a": {"b": 1, "c": "missing"}}, {"a": {"b": 1}}),
        ({"a": {"from": "missing", "default": 0}}, {"a": 0}),
        ({"a": {"from": "null_", "default": [1]}}, {"a": [1]}),
        ({"a": {"from": "missing", "default": None}}, {"a": None}),
        ({"a": {"from": "x", "required": True}}, {"a": 1}),
        ({"a": ["x", "missing", {"b": "x"}]}, {"a": [1, {"b": 1}]}),
        ({"a": {"set": {"from": "x", "each": "x"}}}, {"a": {"from": 1, "each": 1}}),
        ({"a": {"const": {"from": "x"}}}, {"a": {"from": "x"}}),
    ],
)
def test_leaves(tree, expected):
    """Each kind of leaf; what gives nothing is left out."""
    assert apply(tree, {"x": 1, "null_": None}) == expected


@pytest.mark.parametrize(
    ("items", "expected"),
    [(None, []), ([], []), ({"c": 1}, [1]), ([{"c": 1}], [1]), ([{"c": 1}, {}, {"c": 3}], [1, 3])],
)
def test_each_is_always_a_list(items, expected):
    """None, one and many elements: a list of one never collapses."""
    assert apply({"a": {"each": "items", "set": "c"}}, {"items": items}) == {"a": expected}


def test_each_with_one_match():
    """A predicate that leaves one element still gives a list."""
    tree = {"a": {"each": "items[c > 1]", "set": {"c": "c"}}}
    assert apply(tree, {"items": [{"c": 1}, {"c": 2}]}) == {"a": [{"c": 2}]}


def test_each_sees_its_parent():
    """Paths start at the element; $parent is the document around it, also in an each within an each."""
    tree = {
        "a": {
            "each": "items",
            "set": {"id": "$parent.no & c", "b": {"each": "parts", "set": "$parent.c & p & $message.id"}},
        }
    }
    document = {"no": "N", "items": [{"c": "x", "parts": [{"p": "1"}, {"p": "2"}]}]}
    assert apply(tree, document, {"message": {"id": "!"}}) == {"a": [{"id": "Nx", "b": ["x1!", "x2!"]}]}


def test_each_of_texts():
    """An element that is no object is $."""
    assert apply({"a": {"each": "tags", "set": {"name": "$"}}}, {"tags": ["x"]}) == {"a": [{"name": "x"}]}


def test_lookup():
    """A row may be a text or an object; keys are text; nothing gives nothing."""
    table = {"1": {"name": "one"}, "GB": "UK"}
    tree = {"a": "$t(n).name", "b": "$t(cc)", "c": "$t(missing)"}
    assert apply(tree, {"n": 1, "cc": "GB"}, t=table) == {"a": "one", "b": "UK"}
    assert lookup("t", table)(1) == {"name": "one"}


def test_lookup_miss():
    """A miss names table and key."""
    with pytest.raises(
        MappingError, match=r'sale.yaml:7: customer.country: .*the lookup countries has no row for "XX"'
    ):
        sale({**TICKET, "cc": "XX"})


def test_lookup_miss_takes_the_default():
    """With a default a miss is no error, any other failure still is."""
    tree = {"a": {"from": "$t(x)", "default": "?"}}
    assert apply(tree, {"x": "XX"}, t={}) == {"a": "?"}
    with pytest.raises(MappingError):
        apply({"a": {"from": "$number(x)", "default": 0}}, {"x": "XX"})


def test_error_names_everything():
    """File and line, the leaf with its index, the expression, the reason, the value at hand."""
    with pytest.raises(MappingError) as caught:
        sale({**TICKET, "items": [{"code": "a", "n": "2"}, {"code": "b", "n": "zwei"}]})
    assert str(caught.value) == (
        "mappings/sale.yaml:12: lines[1].qty: expression `$number(n)`: Cannot convert 'zwei' to number (D3030)"
        ' (n is "zwei")'
    )
    assert (caught.value.leaf, caught.value.where) == ("lines[1].qty", "mappings/sale.yaml:12")


def test_indexes_of_nested_lists():
    """Indexes stand in the order of the target."""
    tree = {"a": {"each": "xs", "set": {"b": {"each": "ys", "set": {"c": "$number(z)"}}}}}
    document = {"xs": [{"ys": []}, {"ys": [{"z": 1}, {"z": 2}, {"z": "q"}]}]}
    with pytest.raises(MappingError) as caught:
        apply(tree, document)
    assert caught.value.leaf == "a[1].b[2].c"


@pytest.mark.parametrize(
    "tree", [{"a": {"from": "x.y", "required": True}}, {"a": {"each": "x.y", "set": "z", "required": True}}]
)
def test_required(tree):
    """A required leaf that gives nothing, and a required list without elements, are errors with the values at hand."""
    with pytest.raises(MappingError, match=r"a: expression `x.y` gives nothing, and it is required \(x.y is missing\)"):
        apply(tree, {"x": {}})


def test_values_at_hand_are_short():
    """A large value is cut."""
    with pytest.raises(MappingError) as caught:
        apply({"a": "$number(x)"}, {"x": {"y": "z" * 100_000}})
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({"a": {"from": "x", "defalt": 1}}, "defalt does not go with from"),
        ({"a": {"from": "x", "to": "y"}}, r"written \{set:"),
        ({"a": {"each": "x"}}, "each needs set"),
        ({"a": {"from": 1}}, "from is an expression"),
        ({"a": {"from": "x", "required": "yes"}}, "required is true or false"),
        ({"a": {"b": "x +"}}, r"m.yaml:3: a.b: expression `x \+`: .*at character 3"),
    ],
)
def test_wrong_tree(tree, text):
    """A tree that means nothing is refused when it is compiled."""
    with pytest.raises(MappingError, match=text):
        Mapping("m", tree, lines={("a",): 3}, file="m.yaml")


def test_constants_are_not_shared():
    """Changing one result's constant does not change the next one's."""
    mapping = Mapping("m", {"a": {"const": {"b": []}}, "c": {"from": "x", "default": []}})
    first = mapping.apply(Data({}))
    first["a"]["b"].append(1)
    first["c"].append(1)
    assert mapping.apply(Data({})) == {"a": {"b": []}, "c": []}


def test_referenced_expressions():
    """All expressions with their place and what their paths start from, without compiling."""
    tree = {"a": "x +", "b": {"from": "y"}, "c": {"each": "xs", "set": {"d": {"each": "ys", "set": ["z"]}}}, "e": 1}
    assert list(referenced_expressions(tree)) == [
        Use(("a",), "x +"),
        Use(("b", "from"), "y"),
        Use(("c", "each"), "xs"),
        Use(("c", "set", "d", "each"), "ys", ("xs",)),
        Use(("c", "set", "d", "set", 0), "z", ("xs", "ys")),
    ]


def test_a_value_that_nobody_can_pass_on_names_its_leaf():
    """Also where no engine was needed to find it."""
    with pytest.raises(MappingError, match=r"^mapping m: total: .*more than 15 digits") as caught:
        apply({"total": '$not(paid) ? amount : "-"'}, {"paid": False, "amount": 1e300})
    assert caught.value.leaf == "total"
