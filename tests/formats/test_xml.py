"""The XML format: attributes, lists, namespaces, streams of records, writing, and what attackers send."""

import io
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from esb.errors import DecodeError
from esb.formats import xml_parser
from esb.formats.elements import DEEPEST
from esb.formats.numbers import decode_json
from esb.formats.records import group
from esb.formats.xml import XmlFormat, XmlSettings
from esb.message import JSON

SHOP = "urn:shop"
XSI = "http://www.w3.org/2001/XMLSchema-instance"


def xml_format(**settings):
    return XmlFormat(XmlSettings.model_validate(settings))


ORDERS = xml_format(record="orders/order")
FILE = b"""<?xml version="1.0"?>
<orders day="2026-03-14">
  <!-- two of them -->
  <order id="1"><line>a</line><line>b</line></order>
  <order id="2"><line>c</line></order>
</orders>"""


def read(format, body):
    return list(format.read(io.BytesIO(body)))


def documents(format, body):
    records = read(format, body)
    assert [record.error for record in records] == [""] * len(records)
    return [record.document for record in records]


# --- reading --------------------------------------------------------------------------------------------------------


def test_one_document():
    """Attributes and text get marked keys, a repeated element is a list, an empty one is an empty text."""
    body = b'<order id="7"><sku>A-1</sku><note lang="de"> hi </note><sku>B</sku><gift/></order>'
    inner = {"@id": "7", "sku": ["A-1", "B"], "note": {"@lang": "de", "#text": "hi"}, "gift": ""}
    assert xml_format().decode(body) == {"order": inner}
    assert xml_format(root="order").decode(body) == inner
    (record,) = read(xml_format(root="order"), body)
    assert (record.number, record.document, record.raw) == (1, inner, body)


def test_a_document_is_always_an_object():
    """Even where the root element has nothing but text, or nothing at all."""
    assert xml_format(root="a").decode(b"<a>x</a>") == {"#text": "x"}
    assert xml_format(root="a").decode(b"<a/>") == {}
    assert xml_format().decode(b"<a>x</a>") == {"a": {"#text": "x"}}


def test_other_marks():
    """The marks of attributes and text can be others."""
    format = xml_format(attributes="-", text="$")
    document = {"a": {"-x": "1", "$": "t"}}
    assert format.decode(b'<a x="1">t</a>') == document
    assert format.decode(format.encode(document)) == document


def test_lists():
    """An element named as a list is one even when it occurs once: by its name, or only at a path."""
    body = b"<o><line>a</line><sub><line>b</line></sub></o>"
    assert xml_format(root="o", lists=["line"]).decode(body) == {"line": ["a"], "sub": {"line": ["b"]}}
    assert xml_format(root="o", lists=["sub/line"]).decode(body) == {"line": "a", "sub": {"line": ["b"]}}
    assert xml_format(lists=["o/line"]).decode(body) == {"o": {"line": ["a"], "sub": {"line": "b"}}}


def test_white_space():
    """Around text it goes, unless asked to stay; between elements it is layout; a no-break space is text."""
    body = "<a>\n  <b> x\n</b>\n <c>\u00a0</c></a>".encode()
    assert xml_format(root="a").decode(body) == {"b": "x", "c": "\u00a0"}
    assert xml_format(root="a", strip=False).decode(body) == {"b": " x\n", "c": "\u00a0"}


def test_mixed_text_is_put_together():
    """Text between elements comes under one key, in order; CDATA is text, comments and instructions are nothing."""
    body = b"<a>one <b>two</b> three<!-- no --> <?no no?><![CDATA[<4>]]></a>"
    assert xml_format(root="a").decode(body) == {"b": "two", "#text": "one three <4>"}
    assert xml_format(root="a", strip=False).decode(body)["#text"] == "one  three <4>"


def test_namespaces_have_the_prefixes_of_the_settings():
    """Whatever prefixes a sender uses, keys are the same."""
    format = xml_format(namespaces={"s": SHOP}, root="s:order")
    for body in (b'<order xmlns="urn:shop"><sku/></order>', b'<q:order xmlns:q="urn:shop"><q:sku/></q:order>'):
        assert format.decode(body) == {"s:sku": ""}
    default = xml_format(namespaces={"": SHOP}, root="order")
    assert default.decode(b'<q:order xmlns:q="urn:shop" id="1"><q:sku/></q:order>') == {"@id": "1", "sku": ""}


def test_well_known_namespaces():
    """xml and xsi need not be named."""
    body = f'<a xmlns:i="{XSI}" i:nil="true" xml:lang="de"/>'.encode()
    document = xml_format(root="a").decode(body)
    assert document == {"@xsi:nil": "true", "@xml:lang": "de"}
    assert xml_format(root="a").decode(xml_format(root="a").encode(document)) == document


@pytest.mark.parametrize(
    ("namespaces", "body", "text"),
    [
        ({}, b'<a>\n<b xmlns="urn:x"/></a>', "line 2, a/b: b is in the namespace urn:x; give that a prefix"),
        ({}, b'<a xmlns:x="urn:x" x:y="1"/>', "line 1, a: y is in the namespace urn:x"),
        ({"": SHOP}, b'<a xmlns="urn:shop"><b xmlns=""/></a>', "b is in no namespace, where urn:shop is expected"),
        ({"": SHOP}, b'<a xmlns="urn:shop" xmlns:x="urn:shop" x:y="1"/>', "y is in the namespace urn:shop"),
        ({}, b'<a xmlns="urn:x"/>', "line 1: a is in the namespace urn:x"),
    ],
)
def test_unknown_namespace(namespaces, body, text):
    """A namespace that the settings do not name is an error: else a name would depend on the sender's prefixes."""
    with pytest.raises(DecodeError, match=text):
        xml_format(namespaces=namespaces).decode(body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<a>\n  <b></c></a>", "not XML: line 2, column 10: .*mismatch"),
        (b"", "not XML"),
        (b"   ", "not XML"),
        (b"<a>\xff</a>", "not XML: line 1, column 4"),
        (b"<a>&nbsp;</a>", "line 1, column 10: Entity 'nbsp' not defined"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "klingon"),
        (b"<b/>", "the root element is b, where a is expected"),
        (b"<a/>x", "not XML: line 1, column 5"),
    ],
)
def test_unreadable(body, text):
    """What cannot be read says where; as a stream it is one record with its bytes."""
    with pytest.raises(DecodeError, match=text):
        xml_format(root="a").decode(body)
    (record,) = read(xml_format(root="a"), body)
    assert (record.raw, record.document) == (body, None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "cp1252"])
def test_encodings(encoding):
    """Each character set comes back, in whole and as a stream; what it lacks is escaped."""
    for format in (xml_format(encoding=encoding), xml_format(record="r/a", encoding=encoding)):
        document = [{"b": "ü€漢"}, {"b": "x\ny"}] if format.settings.record else {"a": {"b": "ü€漢"}}
        body = format.encode(document)
        assert format.decode(body) == document
        again = [format.decode(record.raw) for record in read(format, body)]
        assert again == (document if isinstance(document, list) else [document])
        assert format.decode(format.join([record.raw for record in read(format, body)])) == document


def test_declared_encoding():
    """A document says itself what it is written in; the settings overrule it."""
    body = '<?xml version="1.0" encoding="iso-8859-15"?><a>€</a>'.encode("iso-8859-15")
    assert xml_format().decode(body) == {"a": {"#text": "€"}}
    assert xml_format(encoding="iso-8859-1").decode(body) == {"a": {"#text": "¤"}}


# --- streams --------------------------------------------------------------------------------------------------------


def test_records():
    """Each element at the path is a record; others of the same name are not; raw can be read again, also joined."""
    records = read(ORDERS, FILE)
    assert [record.document for record in records] == [{"@id": "1", "line": ["a", "b"]}, {"@id": "2", "line": "c"}]
    assert [record.number for record in records] == [1, 2]
    for record in records:
        (again,) = read(ORDERS, record.raw)
        assert (again.document, again.error) == (record.document, "")
        assert b'day="2026-03-14"' in record.raw
    assert ORDERS.decode(ORDERS.join([record.raw for record in records])) == ORDERS.decode(FILE)
    body = b"<orders><x><order/></x><order><order>in</order></order></orders>"
    assert documents(ORDERS, body) == [{"order": "in"}]


def test_parents_of_joined_records_stay_theirs():
    """Records of different parents, put together, keep them; namespaces too."""
    format = xml_format(record="s:f/s:day/s:o", namespaces={"s": SHOP})
    body = b'<f xmlns="urn:shop"><day d="1"><o>a</o><o>b</o></day><day d="2\n3"><o>c\nd</o></day></f>'
    raws = [record.raw for record in read(format, body)]
    joined = format.join(raws)
    assert documents(format, joined) == [{"#text": "a"}, {"#text": "b"}, {"#text": "c\nd"}]
    assert joined.count(b"<day") == 2
    assert format.join(raws[:1]) == raws[0]


def test_records_can_be_grouped():
    """Neighbouring records with one key become one document; a broken one takes its group along, readable again."""
    format = xml_format(record="t/r")
    body = b"<t><r><k>1</k></r><r><k>1</k><x xmlns='urn:x'/></r><r><k>2</k></r></t>"
    one, _, other = list(group(format.read(io.BytesIO(body)), "k", "rows", None, format.join))
    assert (one.document["k"], other.document["k"]) == ("1", "2") or one.error


def test_a_record_with_a_fault_of_its_own():
    """A record that is XML and yet not to be understood is an error; reading goes on behind it."""
    body = b'<orders><order>1</order>\n<order><x:y xmlns:x="urn:x"/></order><order>3</order></orders>'
    before, broken, after = read(ORDERS, body)
    assert (before.document, after.document) == ({"#text": "1"}, {"#text": "3"})
    assert broken.error.startswith("line 2, orders/order/y: y is in the namespace urn:x")
    assert read(ORDERS, broken.raw)[0].error.startswith("line")


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        (b"<order>2</ordr></orders>", "not XML: line 1, column 42"),
        (b"<order>2", "not XML: line 1, column"),
        (b"<order>\xff</order></orders>", "not XML: line 1, column"),
        (b"", "not XML: line 1, column"),
    ],
)
@pytest.mark.parametrize("good", [b"<order>1</order>", b"<order x='1'/>"])
def test_the_rest_behind_a_fault(rest, text, good):
    """What comes before is read; from the end of the last good record on, the bytes are one error."""
    good, error = read(ORDERS, b"<orders>" + good + rest)
    assert good.error == ""
    assert (error.number, error.raw, error.document) == (2, rest, None)
    with pytest.raises(DecodeError, match="nothing behind it can be read"):
        raise DecodeError(error.error)
    assert error.error.startswith("not XML: line 1, column")


def test_the_rest_is_kept_up_to_a_limit(monkeypatch):
    """A gigabyte behind a fault does not fill the memory."""
    monkeypatch.setattr(xml_parser, "KEPT", 100)
    _, error = read(ORDERS, b"<orders><order/><order></x>" + b"y" * 1000)
    assert len(error.raw) == 100
    assert error.raw.startswith(b"<order></x>y")
    assert "MB are kept" in error.error


def test_any_cut_of_the_stream_gives_the_same():
    """However the bytes come, records and the rest behind a fault are the same."""

    class Dripping(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, step) if size > 0 else size)

    body = FILE.replace(b"</orders>", b"<order z='1'/><order>x</y>")
    expected = [(r.document, r.raw, bool(r.error)) for r in read(ORDERS, body)]
    assert expected[-1][1] == b"<order>x</y>"
    for step in (1, 2, 7, 50):
        assert [(r.document, r.raw, bool(r.error)) for r in ORDERS.read(Dripping(body))] == expected


def test_records_are_streamed():
    """A record is out before the rest is read, and what was read is let go."""
    stream = io.BytesIO(b"<orders>" + b"<order><a>1</a></order>" * 20_000 + b"</orders>")
    records = ORDERS.read(stream)
    next(records)
    assert stream.tell() < 10_000
    found = xml_parser.elements(io.BytesIO(stream.getvalue()), ["orders", "order"])
    assert max(len(element.getparent()) for element in found) < 5000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("o/r", b"<o a='" + b"x" * 70_000 + b"'>" + b"<r/>" * 500 + b"</o>"),
        ("o/p/r", b"<o><p>" + b"<r/>" + b"</p><p a='" + b"x" * 70_000 + b"'>" + b"<r/>" * 500 + b"</p></o>"),
        ("o/r", b"<o " + b" ".join(b"xmlns:p%d='urn:%d'" % (n, n) for n in range(4000)) + b"><r/></o>"),
    ],
    ids=["root", "in the middle", "namespaces"],
)
def test_tags_that_every_record_would_carry(path, body):
    """What a record lies in is in the bytes of each: 1 MB of it would become gigabytes."""
    with pytest.raises(DecodeError, match=r"the tags around record [12] have .* at most 65536"):
        read(xml_format(record=path), body)


def test_endless_record(monkeypatch):
    """What never ends is not read for ever."""
    monkeypatch.setattr(xml_parser, "LARGEST", 10_000)
    good, error = read(ORDERS, b"<orders><order/><order>" + b"<a/>" * 100_000 + b"</order></orders>")
    assert (good.document, error.document) == ({}, None)
    assert error.error.startswith("no record ends within")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<stock><order/></stock>", "the root element is stock, where orders is expected"),
        (b'<orders xmlns="urn:x"/>', r"the root element is orders \(namespace urn:x\), where orders is expected"),
        (b"", "not XML"),
        (b"hello", "not XML: line 1, column 1"),
        (b" " * 2 * 1024**2, "no element begins within 1 MB"),
    ],
)
def test_nothing_can_be_read(body, text):
    """Another root element, or no XML at all, is no stream of records."""
    with pytest.raises(DecodeError, match=text):
        read(ORDERS, body)


# --- attacks --------------------------------------------------------------------------------------------------------

LAUGHS = b'<!DOCTYPE a [<!ENTITY a "ha">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
)
ATTACKS = {
    "billion laughs": LAUGHS + b"]><a>&j;</a>",
    "billion laughs in an attribute": LAUGHS + b"]><a x='&j;'/>",
    "quadratic": b'<!DOCTYPE a [<!ENTITY b "' + b"x" * 50_000 + b'">]><a>' + b"&b;" * 50_000 + b"</a>",
    "file": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "network": b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><a/>',
    "parameter entity": b'<!DOCTYPE a [<!ENTITY % b SYSTEM "file:///etc/passwd"> %b;]><a/>',
    "default attribute": b'<!DOCTYPE a [<!ATTLIST a x CDATA "1">]><a/>',
    "utf-7": b'<?xml version="1.0" encoding="utf-7"?>'
    b'+ADw-+ACE-DOCTYPE a [+ADw-+ACE-ENTITY b "c"+AD4-]+AD4-+ADw-a+AD4-+ACY-b+ADs-+ADw-/a+AD4-',
    "utf-16": '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'.encode("utf-16"),
}  # fmt: skip


@pytest.mark.parametrize("body", ATTACKS.values(), ids=ATTACKS)
def test_doctype_is_refused(body):
    """Entities that multiply, files and addresses: a DOCTYPE is refused, whatever is in it, as a stream too."""
    for format in (xml_format(), xml_format(record="a/b")):
        with pytest.raises(DecodeError, match=r"DOCTYPE|not XML"):
            format.decode(body)
    if not body.startswith(b"<?xml"):
        with pytest.raises(DecodeError, match="DOCTYPE"):
            xml_format().decode(body)


def test_xinclude_is_just_an_element():
    """Nothing is fetched because a document says so."""
    body = b'<a xmlns:x="http://www.w3.org/2001/XInclude"><x:include href="/etc/passwd" parse="text"/></a>'
    format = xml_format(root="a", namespaces={"x": "http://www.w3.org/2001/XInclude"})
    assert format.decode(body) == {"x:include": {"@href": "/etc/passwd", "@parse": "text"}}


@pytest.mark.parametrize("depth", [DEEPEST + 1, 10_000, 1_000_000])
def test_depth(depth):
    """Nesting is limited, however deep it goes."""
    with pytest.raises(DecodeError, match=r"inside each other|not XML"):
        xml_format().decode(b"<a>" * depth + b"</a>" * depth)


def test_deepest_document_can_travel():
    """What is read can be read as JSON too, where each element is an object in a list."""
    body = b"<a>" * DEEPEST + b"x" + b"</a>" * DEEPEST
    document = xml_format(root="a", lists=["a"]).decode(body)
    from msgspec.json import encode

    assert decode_json(encode({"head": [document]})) == {"head": [document]}


def test_largest(monkeypatch):
    """A whole document has a limit; the error names the way out."""
    monkeypatch.setattr(xml_parser, "LARGEST", 100)
    with pytest.raises(DecodeError, match="read it as a stream"):
        xml_format().decode(b"<a>" + b" " * 100 + b"</a>")


# --- writing --------------------------------------------------------------------------------------------------------


def test_encode():
    """Elements in the order of keys, attributes, lists; numbers and truth values in canonical text, null left out."""
    document = {"@id": 7, "n": [1.50, -1e21, 1e-7], "ok": True, "no": None, "x": {"#text": "<&>", "@y": False}, "e": ""}
    assert xml_format(root="order", declaration=False).encode(document) == (
        b'<order id="7"><n>1.5</n><n>-1000000000000000000000</n><n>0.0000001</n><ok>true</ok>'
        b'<x y="false">&lt;&amp;&gt;</x><e></e></order>'
    ).replace(b"<e></e>", b"<e></e>")
    assert xml_format().encode({"a": "x"}) == b"<?xml version='1.0' encoding='utf-8'?>\n<a>x</a>"
    assert XmlFormat().content_type == "application/xml" != JSON


def test_encode_namespaces():
    """Prefixes are those of the settings, declared once."""
    format = xml_format(root="s:a", namespaces={"s": SHOP, "": "urn:d"}, declaration=False)
    assert format.encode({"s:b": "1", "c": {"@d": "2", "@s:e": "3"}}) == (
        b'<s:a xmlns:s="urn:shop" xmlns="urn:d"><s:b>1</s:b><c d="2" s:e="3"/></s:a>'
    )


def test_encode_records():
    """A list becomes record elements below their parents, and is read again."""
    format = xml_format(record="f/day/o", declaration=False)
    assert format.encode([{"a": "1"}, {"a": "2"}]) == b"<f><day><o><a>1</a></o><o><a>2</a></o></day></f>"
    assert format.encode({"a": "1"}) == b"<f><day><o><a>1</a></o></day></f>"
    assert documents(format, format.encode([])) == []


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"a": {"b": "x\x01"}}, r'field a\.b: "x\\u0001" has a character that XML cannot hold'),
        ({"@b": "\0"}, "field @b: .* has a character that XML cannot hold"),
        ({"a": ["x", "\ud800"]}, r"field a\[1\]: .* has a character"),
        ({"a b": "1"}, 'field a b: "a b" is not a name in XML'),
        ({"1a": "1"}, 'field 1a: "1a" is not a name'),
        ({"": "1"}, 'field : "" is not a name|field .*"" is not a name'),
        ({"@": "1"}, 'field @: "" is not a name'),
        ({"{urn:x}a": "1"}, "is not a name"),
        ({"a:b:c": "1"}, "is not a name|the prefix"),
        ({"q:a": {}}, 'field q:a: the prefix "q" is not in namespaces'),
        ({"a": [[1]]}, r"field a\[0\]: a list in a list"),
        ({"#text": {"x": 1}}, "field #text: .* is not a single value"),
        ({"@a": [1]}, "field @a: .* is not a single value"),
        ([1], "a list cannot be the root element o"),
    ],
)
def test_unwritable(document, text):
    """What XML cannot hold names its field."""
    with pytest.raises(DecodeError, match=text):
        xml_format(root="o").encode(document)


def test_unwritable_elsewhere():
    """No single root, a name outside the character set, a document without an end, a fault in one of many records."""
    with pytest.raises(DecodeError, match="the document needs one key"):
        xml_format().encode({"a": 1, "b": 2})
    with pytest.raises(DecodeError, match="field größe: the name is not in ascii"):
        xml_format(root="o", encoding="ascii").encode({"größe": 1})
    with pytest.raises(DecodeError, match=r"field \[2\]\.x: "):
        ORDERS.encode([{"x": "1"}, {"x": "\0"}])
    deep = {}
    for _ in range(DEEPEST + 1):
        deep = {"a": deep}
    with pytest.raises(DecodeError, match="objects inside each other"):
        xml_format(root="o").encode(deep)


@pytest.mark.parametrize(
    "settings",
    [
        {"record": "order"},
        {"record": "orders/"},
        {"record": "orders//order"},
        {"record": "s:orders/order"},
        {"record": "a/b", "root": "a"},
        {"root": "a b"},
        {"attributes": "_"},
        {"attributes": ""},
        {"text": "text"},
        {"text": "@text"},
        {"namespaces": {"xml": "urn:x"}},
        {"namespaces": {"xmlns": "urn:x"}},
        {"namespaces": {"a:b": "urn:x"}},
        {"namespaces": {"a": ""}},
        {"namespaces": {"a": "urn:x", "b": "urn:x"}},
        {"encoding": "klingon"},
        {"encoding": "cp037"},
        {"encoding": "iso-8859-1", "declaration": False},
        {"huge": True},
    ],
)
def test_bad_settings(settings):
    """Settings that mean nothing are refused."""
    with pytest.raises(ValidationError):
        xml_format(**settings)


def test_without_lxml():
    """A bus without XML needs no lxml; one with it learns what to install, from the settings on."""
    code = """
        import sys
        sys.modules["lxml"] = None
        sys.meta_path.insert(0, type("No", (), {"find_spec": staticmethod(lambda *a: None)}))
        import importlib.util
        from esb.errors import DecodeError
        from esb.formats import FORMATS, xml, xml_parser
        xml.find_spec = lambda name: None
        FORMATS["json"]().decode(b"{}")
        for act in (lambda: FORMATS["xml"].Settings.model_validate({}), xml_parser.library):
            try:
                act()
            except (ValueError, DecodeError) as error:
                assert "pip install 'esb[xml]'" in str(error), error
            else:
                raise AssertionError("lxml was found")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


# --- there and back -------------------------------------------------------------------------------------------------

NAME = st.from_regex(r"(s:)?[A-Za-zä_][A-Za-z0-9ü漢_.-]{0,8}", fullmatch=True)
TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff", include_characters="\n\t\r")
)
SHOWN = TEXT.filter(lambda text: text.strip(" \t\r\n"))
ATTRIBUTES = st.dictionaries(NAME.map("@{}".format), TEXT, max_size=3)


def objects(children):
    many = st.lists(children, min_size=2, max_size=3)
    inner = st.dictionaries(NAME, st.one_of(children, many), max_size=4)
    text = st.one_of(st.just({}), SHOWN.map(lambda text: {"#text": text}))
    return st.tuples(ATTRIBUTES, inner, text).map(lambda parts: {**parts[0], **parts[1], **parts[2]})


# An object of text alone is read as that text, an empty one as an empty text.
VALUES = st.recursive(TEXT, lambda inner: objects(inner).filter(lambda o: set(o) - {"#text"}), max_leaves=8)


@given(objects(VALUES))
def test_what_is_written_is_read_again(document):
    """Every document that XML can hold comes back, as a whole and as a record."""
    settings = {"strip": False, "namespaces": {"s": SHOP}}
    whole = xml_format(root="r", **settings)
    assert whole.decode(whole.encode(document)) == document
    stream = xml_format(record="s:t/r", **settings)
    assert documents(stream, stream.encode([document, document])) == [document, document]


@given(st.binary(max_size=200))
def test_any_bytes(body):
    """Whatever comes, it is a document or a DecodeError."""
    for format in (xml_format(), ORDERS):
        try:
            format.decode(body)
        except DecodeError:
            pass
