"""The published JSON Schemas: valid by the metaschema, and of one mind with the models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from parts import components
from pydantic import Field
from shops import HERE, Shop

from esb.config.schemas import schemas
from esb.config.yaml import documents
from esb.ports import Settings

FOLDERS = {"endpoints": "endpoint", "flows": "flow", "mappings": "mapping"}


def violations(root: Path) -> list[str]:
    """What the schemas say about every file of a bus directory."""
    known = schemas(components())
    found = []
    for path in sorted(root.rglob("*.yaml")):
        name = path.relative_to(root).as_posix()
        kind = FOLDERS.get(name.partition("/")[0], "bus" if name == "esb.yaml" else "overlay")
        for document in documents(path.read_text(), name, []):
            errors = Draft202012Validator(known[kind]).iter_errors(document)
            found += [f"{name}: {error.json_path}: {error.message}" for error in errors]
    return found


@pytest.mark.parametrize("kind", ["bus", "overlay", "endpoint", "flow", "mapping"])
def test_schema_is_a_valid_schema(kind: str) -> None:
    """By the metaschema of draft 2020-12, with every local reference leading somewhere."""
    schema = schemas(components())[kind]
    Draft202012Validator.check_schema(schema)
    for reference in references(schema):
        assert reference.removeprefix("#/$defs/") in schema["$defs"], reference


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in references(item)]
    return [found for item in value for found in references(item)] if isinstance(value, list) else []


def test_correct_directory_meets_the_schemas() -> None:
    """What the models take, the schemas take."""
    assert violations(HERE / "shop") == []


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("esb.yaml", "bus: shop", "bus: Shop"),
        ("esb.yaml", "retries: 1", "retries: many"),
        ("esb.yaml", "[5s, 1m]", "[5 parsecs]"),
        ("endpoints/pos.yaml", "adapter: files", "adaptr: files"),
        ("endpoints/pos.yaml", "adapter: files", "adapter: fils"),
        ("endpoints/pos.yaml", "directory:", "dir:"),
        ("endpoints/pos.yaml", "poll: 5s", "pol: 5s"),
        ("endpoints/pos.yaml", "{table:", "{tabel:"),
        ("endpoints/pos.yaml", 'delimiter: ";"', 'delimiter: ";;"'),
        ("endpoints/warehouse.yaml", "secret:env:WAREHOUSE_TOKEN", "hunter2"),
        ("endpoints/warehouse.yaml", "effect: keyed", "effect: keyd"),
        ("endpoints/warehouse.yaml", "{post: /cancel}", "{}"),
        ("flows/archive.yaml", "send: archive.write", "sned: archive.write"),
        ("flows/archive.yaml", "send: archive.write", "send: {too: archive.write}"),
        ("flows/sales.yaml", "- otherwise:", "- otherwize:"),
        ("flows/sales.yaml", "- send: warehouse.order", "- sent: warehouse.order"),
        ("mappings/pos-sale-to-order.yaml", 'default: ""}', 'defualt: ""}'),
        ("mappings/pos-sale-to-order.yaml", "from: pos.sale/v1", "source: pos.sale/v1"),
    ],
)
def test_schemas_and_models_refuse_alike(shop: Shop, file: str, old: str, new: str) -> None:
    """What an editor marks, ``esb check`` finds."""
    shop.edit(file, old, new)
    assert any(finding.level == "error" for finding in shop.findings())
    assert [text for text in violations(shop.root) if text.startswith(file)]


def test_a_variable_may_stand_for_any_scalar(shop: Shop) -> None:
    """``concurrency: ${N:-8}`` is a number once it is resolved."""
    shop.edit("endpoints/pos.yaml", "owner: retail-ops", "concurrency: ${N:-8}")
    assert violations(shop.root) == []
    assert shop.definition().endpoints["pos"].concurrency == 8


def test_further_kinds_of_files() -> None:
    """Whoever reads other files (test cases) adds their models."""

    class Cases(Settings):
        """Cases beside a flow."""

        given: dict[str, Any] = Field(description="A document.")

    schema = schemas(components(), {"test": Cases})["test"]
    Draft202012Validator.check_schema(schema)
    assert schema["properties"]["given"]["description"] == "A document."
