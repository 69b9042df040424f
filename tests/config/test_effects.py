"""The effect of an operation: as stated, or what its adapter knows of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from esb.config import inspect
from esb.discovery import discover

ENDPOINT = """
endpoint: books
adapter: sql
settings: {{url: "sqlite:///books.db"{inbox}}}
operations:
  write: {{{operation}}}
"""
INSERT, UPSERT = "insert: a, columns: [b]", "upsert: a, key: b, columns: [b]"


def look(root: Path, operation: str, inbox: str = "", of: str = "effect") -> tuple[list[str], str]:
    """Kinds of errors, and the effect in force (or what else is asked ``of`` the operation)."""
    (root / "esb.yaml").write_text("bus: books\n")
    (root / "endpoints").mkdir()
    (root / "endpoints" / "books.yaml").write_text(ENDPOINT.format(operation=operation, inbox=inbox))
    checked = inspect(root, discover())
    errors = [finding.kind for finding in checked.findings if finding.level == "error"]
    return errors, getattr(checked.definition.endpoints["books"].operations["write"], of) if checked.definition else ""


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


PROBE = ", probe: {select: SELECT 1 FROM a WHERE b = :b}"


@pytest.mark.parametrize(
    ("operation", "in_doubt"),
    [(INSERT, "park"), (INSERT + PROBE, "probe"), (INSERT + PROBE + ", in_doubt: park", "park")],
)
def test_what_can_be_asked_is_asked_unless_something_else_is_stated(tmp_path, operation, in_doubt):
    """Where the operation says how."""
    assert look(tmp_path, operation, of="in_doubt") == ([], in_doubt)


def test_a_probe_needs_to_know_what_to_ask(tmp_path):
    """`in_doubt: probe` alone would ask nobody."""
    assert look(tmp_path, INSERT + ", in_doubt: probe") == (["unsupported"], "")


@pytest.mark.parametrize(("adapter", "errors"), [("http", ["unsupported"]), ("file", [])])
def test_a_batch_needs_an_adapter_that_takes_one(tmp_path, adapter, errors):
    """It would be no quicker, and hold up more."""
    (tmp_path / "endpoints").mkdir()
    operation = "post: /x" if adapter == "http" else "path: '{message_id}'"
    where = "url: http://x" if adapter == "http" else "directory: x"
    (tmp_path / "endpoints" / "one.yaml").write_text(
        f"endpoint: one\nadapter: {adapter}\nsettings: {{{where}}}\noperations: {{put: {{{operation}, batch: 50}}}}\n"
    )
    (tmp_path / "esb.yaml").write_text("bus: books\n")
    found = [finding for finding in inspect(tmp_path, discover()).findings if finding.level == "error"]
    assert [finding.kind for finding in found] == errors
