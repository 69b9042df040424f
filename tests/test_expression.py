"""Expressions: values, limits, what is refused, and what can be told without running them."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esb.errors import ExpressionError
from esb.expression import Data, Expression
from esb.expression_paths import builtins, is_bare_path, names, paths, syntax_error

MESSAGE = {"message": {"id": "m-1", "time": "2026-11-21T07:00:00.123Z"}}


def value(text, document=None, bindings=None, **functions):
    return Expression(text, functions).evaluate(Data(document or {}), bindings)


def failure(text, document=None, bindings=None, **functions):
    with pytest.raises(ExpressionError) as caught:
        value(text, document, bindings, **functions)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", 1), ("b.c", "x"), ("missing", None), ("nothing", None), ("list", [1]), ("a + 1", 2), ("`b`.c & '!'", "x!")],
)
def test_values(text, expected):
    """Missing and null both come out as None; a list of one stays a list."""
    assert value(text, {"a": 1, "b": {"c": "x"}, "nothing": None, "list": [1]}) == expected


def test_syntax_error_has_position():
    """A syntax error says what is wrong, where in the expression, and where the expression stands."""
    with pytest.raises(ExpressionError, match=r"`a \+` \(flows/x.yaml:3\): .*, at character 3"):
        Expression("a +", where="flows/x.yaml:3")


def test_failing_function_keeps_its_exception():
    """What a function raised is the cause of the error, not a text about it."""

    def find(key):
        raise KeyError(key)

    with pytest.raises(ExpressionError) as caught:
        value("$find(a)", {"a": "XX"}, find=find)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_later_failure_does_not_show_an_earlier_cause():
    """The exception of one evaluation does not leak into the next one's error."""

    def find(key):
        if key == "bad":
            raise KeyError(key)
        return key

    expression = Expression("$find(a) + 1", {"find": find})
    for document, cause in (({"a": "bad"}, KeyError), ({"a": "text"}, ValueError)):
        with pytest.raises(ExpressionError) as caught:
            expression.evaluate(Data(document))
        assert isinstance(caught.value.__cause__, cause)


@pytest.mark.parametrize("name", ["eval", "random", "shuffle", "uuid"])
@pytest.mark.parametrize("text", ["${}(a)", "($f := ${}; $f(a))", "a ~> ${}"])
def test_impure_functions_are_refused(name, text):
    """$eval and chance are refused when the expression is made, under whatever disguise."""
    with pytest.raises(ExpressionError, match=rf"\${name} is not available"):
        Expression(text.format(name))


def test_a_refused_name_in_a_text_is_fine():
    """Only the function is refused, not the word."""
    assert value('"$eval"') == "$eval"


def test_clock_is_the_messages():
    """$now and $millis tell the message's time, so a replay gives the same result."""
    assert value('$now() & " " & $now("[Y]") & " " & $millis()', {}, MESSAGE) == (
        "2026-11-21T07:00:00.123Z 2026 1795244400123"
    )


def test_clock_without_message():
    """Without a message there is no time, not even that of the message before."""
    expression = Expression("$now()")
    expression.evaluate(Data({}), MESSAGE)
    with pytest.raises(ExpressionError, match="no message here"):
        expression.evaluate(Data({}))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("($f := function(){$f()}; $f())", "timeout"),
        ("($f := function($n){1 + $f($n)}; $f(1))", "Stack overflow"),
        ("[1..1000000]", "sequence length"),
    ],
)
def test_limits(text, reason):
    """An expression that does not end, or grows without end, is stopped."""
    assert reason in failure(text)


def test_fractions_are_rounded_to_what_is_exact():
    """0.1 + 0.2 is 0.3: no number leaves with more digits than may come in."""
    assert value("[0.1 + 0.2, {'a': 0.1 * 3}]") == [0.3, {"a": 0.3}]


@pytest.mark.parametrize("text", ["1 / 0", "{'a': [5 % 0]}", "99999999 * 99999999", '$number("9007199254740993")'])
def test_numbers_that_are_none_or_rounded(text):
    """Infinity, not-a-number and rounded whole numbers never get out."""
    assert "the result" in failure(text)


def test_long_literal():
    """A number in the expression itself that the engine would round is refused."""
    assert "more than 15 digits" in failure("a = 1234567890123456789")
    assert value('"1234567890123456789"') == "1234567890123456789"


@pytest.mark.parametrize("bad", [{"a": 2**70}, {"a": "\ud800"}, {1: 2}])
def test_document_that_is_not_json(bad):
    """A document that JSON cannot say is an error of this message, not a crash."""
    assert "JSON cannot say" in failure("$keys($)", bad)


def test_threads_share_an_expression():
    """One expression serves many threads, each with its own compiled object; so does a Data."""
    expression, data, seen = Expression("a + $parent.b"), Data({"a": 1}), []

    def work(n):
        seen.extend(expression.evaluate(data, {"parent": {"b": n}}) == 1 + n for _ in range(200))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 800
    assert all(seen)


def test_a_panic_of_the_engine_is_an_error():
    """A panic is no Exception in Python; here it is caught all the same."""
    panic = type("PanicException", (BaseException,), {})

    def explode(*_):
        raise panic("boom")

    expression = Expression("(a; b)")
    expression._local.run = explode
    with pytest.raises(ExpressionError, match="engine broke down: boom"):
        expression.evaluate(Data({}))


def test_interrupts_pass():
    """Ctrl-C is not a fault of the message."""

    def stop():
        raise KeyboardInterrupt

    expression = Expression("(a; b)")
    expression._local.run = lambda *_: stop()
    with pytest.raises(KeyboardInterrupt):
        expression.evaluate(Data({}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$b.x", 1),
        ("$b.x + $b.y", 3),
        ("$string($b)", '{"x":1,"y":2}'),
        ("$b.*", [1, 2]),
        ("$lookup($b, 'y')", 2),
    ],
)
def test_bindings(text, expected):
    """A variable is whole however it is used, although only the fields named are handed over."""
    assert value(text, {}, {"b": {"x": 1, "y": 2}, "other": object()}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b[c=1].d & $f(e, $$.g)", ["a.b.c", "a.b.d", "e", "g"]),
        ("items.{'x': y, 'p': %.a}", ["items", "items.y"]),
        ("$map(items, function($i){$i.x})", ["items", "items.x"]),
        ("items ~> $map(function($v){$v.q})", ["items", "items.q"]),
        ("$sum(items.(qty * price))", ["items", "items.qty", "items.price"]),
        ("$filter(items, function($i){$i.ok}).sku", ["items.ok", "items.sku"]),
        ("($z := a; $z.b)", ["a", "a.b"]),
        ("a ? b : c", ["a", "b", "c"]),
        ("`country code`.x", ["country code.x"]),
        ("items^(>x).y", ["items.x", "items.y"]),
        ("items{sku: $sum(qty)}", ["items", "items.sku", "items.qty"]),
        ("$parent.x & $message.id", ["$parent.x", "$message.id"]),
        ("a.*.b", ["a"]),
        ("**.c", []),
        ("function($x){$x.a}(b)", ["b"]),
        ("|a|{'b': c}|", []),
        ("a +", []),
    ],
)
def test_paths(text, expected):
    """The fields that an expression reads, from the root of the document; when in doubt, none."""
    assert [use.text for use in paths(text)] == expected


@pytest.mark.parametrize("text", ["customer.country", "1 + `customer`.country", "$f(a, country)"])
def test_path_offsets(text):
    """The offset of a path is where its last name stands in the text."""
    (use,) = [use for use in paths(text) if use.path[-1] == "country"]
    assert text[use.offset :].startswith("country")


def test_names():
    """Functions and variables that the expression does not define itself, with their offsets."""
    text = "($f := function($n){$n}; $f($contries(cc)) & $message.id)"
    assert [(use.name, use.call, text[use.offset :][: len(use.name) + 1]) for use in names(text)] == [
        ("contries", True, "$contries"),
        ("message", False, "$message"),
    ]


def test_builtins():
    """JSONata's own functions are known, so that a misspelt one can be found."""
    assert {"sum", "map", "uppercase"} <= builtins()
    assert "contries" not in builtins()


@pytest.mark.parametrize(
    ("text", "word"), [("GBP", "GBP"), (" x ", "x"), ("a.b", None), ("true", None), ("'x'", None), ("$x", None)]
)
def test_bare_path(text, word):
    """A single word reads a field, and may have been meant as text."""
    assert is_bare_path(text) == word


@pytest.mark.parametrize(("text", "offset"), [("a.b.[c", 5), ("", 0), ("a ? : b", 4)])
def test_syntax_error(text, offset):
    """The place of a syntax error lies within the text."""
    assert syntax_error(text).offset == offset
    assert syntax_error("a") is None


_SCALARS = st.none() | st.booleans() | st.integers(-(10**15) + 1, 10**15 - 1) | st.text(max_size=5)
_DOCUMENTS = st.recursive(
    _SCALARS | st.floats(-1e6, 1e6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


@given(_DOCUMENTS, st.sampled_from(["a", "a.b", "a . b.c", " b.c", "c.c.c"]))
def test_a_followed_path_gives_what_the_engine_gives(document, text):
    """Whatever lies on the way: a path that is followed without the engine has the engine's value (which writes 1.0 as
    1: to JSON they are the same number)."""
    followed = value(text, document)
    computed = value(f"({text}; {text})", document)
    assert followed == computed
    assert isinstance(followed, bool) == isinstance(computed, bool)
