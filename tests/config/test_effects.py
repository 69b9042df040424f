"""The effect of an operation: as stated, or what its adapter knows of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from esb.bus import discover
from esb.config import inspect

ENDPOINT = """
endpoint: books
adapter: sql
settings: {{url: "sqlite:///books.db"{inbox}}}
operations:
  write: {{{operation}}}
"""
INSERT, UPSERT = "insert: a, columns: [b]", "upsert: a, key: b, columns: [b]"


def look(root: Path, operation: str, inbox: str = "") -> tuple[list[str], str]:
    """Kinds of errors, and the effect in force."""
    (root / "esb.yaml").write_text("bus: books\n")
    (root / "endpoints").mkdir()
    (root / "endpoints" / "books.yaml").write_text(ENDPOINT.format(operation=operation, inbox=inbox))
    checked = inspect(root, discover())
    errors = [finding.kind for finding in checked.findings if finding.level == "error"]
    return errors, checked.definition.endpoints["books"].operations["write"].effect if checked.definition else ""


@pytest.mark.parametrize(
    ("operation", "inbox", "effect"),
    [
        (INSERT, "", "unkeyed"),
        (UPSERT, "", "idempotent"),
        (INSERT, ", inbox_table: inbox", "keyed"),
        (INSERT + ", effect: idempotent", "", "idempotent"),
    ],
)
def test_the_adapter_knows_the_effect_unless_it_is_stated(tmp_path, operation, inbox, effect):
    """Of one kind, some operations can be repeated and some cannot."""
    assert look(tmp_path, operation, inbox) == ([], effect)


def test_keyed_is_refused_where_nothing_keeps_the_key(tmp_path):
    """It would promise what does not hold."""
    assert look(tmp_path, INSERT + ", effect: keyed") == (["unsupported"], "")
