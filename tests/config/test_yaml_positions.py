"""YAML as it is read here: positions, YAML 1.2 scalars, and the traps that older readers fall into."""

from __future__ import annotations

from typing import Any

import pytest
from shops import Shop, place

from esb.config.findings import Finding
from esb.config.tree import root
from esb.config.yaml import documents


def read(text: str) -> tuple[Any, list[Finding]]:
    findings: list[Finding] = []
    found = documents(text, "x.yaml", findings)
    return (found[0] if found else None), findings


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("0o17", 15),
        ("0x1F", 31),
        ("~", None),
        ("null", None),
        ("'12'", "12"),
        ("2026-01-31", "2026-01-31"),
        ("v1", "v1"),
        ("${PORT}", "${PORT}"),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text: str, value: Any) -> None:
    """The core schema, and nothing that is not in it."""
    tree, findings = read(f"key: {text}")
    assert tree["key"] == value
    assert type(tree["key"]) is type(value)
    assert findings == []


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("no", "false"),
        ("On", "true"),
        ("YES", "true"),
        ("off", "false"),
        ("12:30:45", "base 60"),
        ("0123", "octal"),
        ("1_000", "a number"),
        ("0b101", "binary"),
    ],
)
def test_what_older_readers_misread_stays_text_with_a_warning(text: str, meaning: str) -> None:
    """Norway keeps its country code, a lift its time, an article its leading zero."""
    tree, findings = read(f"a: 1\nkey: {text}")
    assert tree["key"] == text
    assert [(f.line, f.column, f.kind, f.level) for f in findings] == [(2, 6, "yaml-trap", "warning")]
    assert meaning in findings[0].text


def test_keys_are_words_as_written() -> None:
    """``on`` and ``no`` are keys like any other."""
    tree, findings = read("on: 1\nno: 2\n5: 3")
    assert list(tree) == ["on", "no", "5"]
    assert findings == []


@pytest.mark.parametrize(
    ("text", "line", "column", "kind"),
    [
        ("a: 1\n~: 2", 2, 1, "yaml-trap"),
        ("a: 1\n? [x]\n: 2", 2, 3, "yaml-trap"),
        ("a: {b: 1}\n<<: {c: 1}", 2, 1, "yaml-trap"),
        ("a: !!python/object:os.system {}", 1, 4, "yaml-trap"),
        ("a: !secret x", 1, 4, "yaml-trap"),
        ("a: 1\nb: {c: 2\nd: 3", 3, 2, "yaml-syntax"),
        ("a: *nowhere", 1, 4, "yaml-syntax"),
        ("a: &x [*x]", 1, 4, "yaml-syntax"),
        ("a: 1\nb: x\x07", 2, 5, "unreadable-file"),
    ],
)
def test_what_is_refused_has_its_place(text: str, line: int, column: int, kind: str) -> None:
    """No tag is obeyed, no merge key, no alias without end; each is one finding."""
    _, findings = read(text)
    assert [(f.line, f.column, f.kind) for f in findings] == [(line, column, kind)]


def test_aliases_that_expand_without_bound_are_refused() -> None:
    """Nine lists of nine lists, nine deep, is a small file and a billion values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    _, findings = read("\n".join(lines))
    assert [f.kind for f in findings] == ["yaml-syntax"]


def test_deep_nesting_is_refused_without_a_stack_trace() -> None:
    """Ten thousand brackets."""
    _, findings = read("a: " + "[" * 10_000)
    assert len(findings) == 1


def test_each_value_knows_its_place_and_pointer() -> None:
    """Keys and values, in block and flow style, across documents."""
    trees = documents("a: 1\n---\nb:\n  - c: {d: x}\n    e/f: y\n", "x.yaml", [])
    spot = root(trees[1], "x.yaml").at("b", 0, "c", "d")
    assert (spot.value, spot.place[1:3], spot.key_at[1:3], spot.pointer) == ("x", (4, 12), (4, 9), "/b/0/c/d")
    assert root(trees[1], "x.yaml").at("b", 0, "e/f").pointer == "/b/0/e~1f"


def test_paths_step_over_what_only_a_model_knows() -> None:
    """``branches/0/when`` of a model is ``0/when`` where the list itself was written."""
    (tree,) = documents("- when: x", "x.yaml", [])
    assert root(tree, "x.yaml").at("branches", 0, "when").path == (0, "when")


def test_file_in_another_encoding(shop: Shop) -> None:
    """The byte that is not UTF-8 is named with its place; nothing else is said about that file's contents."""
    shop.write("mappings/pos-sale-to-order.yaml", b"mapping: pos-sale-to-order\ntitle: Stra" + b"\xdfe\n")
    found = shop.only()
    assert place(found) == "mappings/pos-sale-to-order.yaml:2:12 unreadable-file"
    assert "0xdf" in found.text


def test_file_that_is_too_large(shop: Shop) -> None:
    """Nobody writes a megabyte of YAML by hand."""
    shop.write("flows/archive.yaml", "# " + "x" * 1024 * 1024)
    assert place(shop.only()) == "flows/archive.yaml:1:1 unreadable-file"


def test_directory_without_esb_yaml(shop: Shop) -> None:
    """The one file a bus must have; the finding says how to get it."""
    (shop.root / "esb.yaml").unlink()
    found = shop.only()
    assert place(found) == "esb.yaml:1:1 missing-file"
    assert "esb init" in found.text


def test_directory_with_nothing_but_an_empty_esb_yaml(tmp_path: Any) -> None:
    """All folders may be missing; every setting has a default."""
    (tmp_path / "esb.yaml").write_text("")
    assert Shop(tmp_path).definition().config.broker == "embedded"


def test_second_document_in_esb_yaml(shop: Shop) -> None:
    """Endpoints, flows and mappings may share a file; esb.yaml is one document."""
    shop.write("esb.yaml", "bus: shop\n---\nbus: other\n")
    assert place(shop.only()) == "esb.yaml:3:1 yaml-trap"


def test_yml_files_are_pointed_out(shop: Shop) -> None:
    """A file that would silently be ignored is a warning."""
    shop.write("flows/extra.yml", "flow: extra\n")
    found = shop.only()
    assert place(found) == "flows/extra.yml:1:1 unused"
    assert found.level == "warning"


@pytest.mark.parametrize(
    ("file", "advice"),
    [
        ("flows/tills/extra.yaml", "move it there"),
        ("endpoints/old/extra.yml", "move it there"),
        ("extra.yaml", "in flows/ only"),
        ("contracts/bill.json", "contracts/<type>/v<version>.json"),
        ("contracts/a/b/v1.json", "contracts/<type>/v<version>.json"),
    ],
)
def test_files_that_nobody_reads_are_pointed_out(shop: Shop, file: str, advice: str) -> None:
    """They lie where nothing is looked for; what belongs to other programs is left alone."""
    shop.write("compose.yaml", "services: {}\n")
    shop.write("esb.other.yaml", "flow: none\n")
    shop.write(file, "flow: extra\n")
    found = shop.only()
    assert (place(found), found.level) == (f"{file}:1:1 unused", "warning")
    assert advice in found.text


def test_test_cases_are_not_loaded(shop: Shop) -> None:
    """``*.test.yaml`` lies beside flows and mappings and is another command's."""
    shop.write("flows/sales.test.yaml", "cases: []\n")
    assert shop.findings() == []
    assert "flows/sales.test.yaml" not in shop.definition().files
