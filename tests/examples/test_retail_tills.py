from __future__ import annotations

import csv
import io
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from esb.examples.retail.systems import tills


def rows(drop: tills.Drop) -> list[dict[str, str]]:
    """The rows of all files but the repeat, a byte without a character shown as U+FFFD."""
    texts = [content.decode("cp1252", "replace") for name, content in drop.files if "again" not in name]
    return [row for text in texts for row in csv.DictReader(io.StringIO(text), delimiter=";")]


def test_the_same_seed_gives_the_same_bytes() -> None:
    """A demo can be repeated; another seed is another day."""
    assert tills.plan(seed=7) == tills.plan(seed=7)
    assert tills.plan(seed=7).files != tills.plan(seed=8).files


@pytest.mark.parametrize("tickets", [20, 100, 300, 1001])
def test_every_ticket_is_expected_somewhere(tickets: int) -> None:
    """What comes in is filtered, completed or parked, each ticket once."""
    drop = tills.plan(tickets)
    expected = drop.expected
    once = expected.filtered + expected.completed + sum(expected.parked.values())
    assert once == tickets == len({row["ticket"] for row in rows(drop)})
    assert expected.accepted == once + expected.duplicate
    assert len(set(expected.orders)) == len(expected.orders) == expected.completed
    assert min(expected.filtered, len(expected.collect), *map(len, expected.parked_why.values())) >= 1


def test_what_is_expected_follows_from_the_rows() -> None:
    """The rows alone, read as a person would, lead to the same fates as the plan says."""
    drop = tills.plan(300)
    why: dict[str, set[str]] = {trouble: set() for trouble in tills.PARKED_AS}
    sums: Counter[str] = Counter()
    stated: dict[str, Decimal] = {}
    for row in rows(drop):
        ticket = row["ticket"]
        sums[ticket] += Decimal(row["price"].replace(",", ".")) * int(row["quantity"])  # type: ignore[assignment]
        stated[ticket] = Decimal(row["total"].replace(",", "."))
        found = [tills.UNREADABLE] * ("\ufffd" in row["remark"]) + [tills.NO_ARTICLE] * (not row["sku"])
        for trouble in [*found, *[tills.NO_SUCH_COUNTRY] * (row["country"] not in tills.COUNTRIES)]:
            why[trouble].add(ticket)
    why[tills.WRONG_TOTAL] = {ticket for ticket, total in stated.items() if total != sums[ticket]}
    assert {trouble: set(tickets) for trouble, tickets in drop.expected.parked_why.items()} == why


def test_rows_of_a_ticket_are_neighbours() -> None:
    """Grouping looks at neighbouring rows only, so that a file need not fit into memory."""
    numbers = [row["ticket"] for row in rows(tills.plan(300))]
    blocks = [number for place, number in enumerate(numbers) if place == 0 or numbers[place - 1] != number]
    assert len(blocks) == len(set(blocks)) < len(numbers)


def test_one_file_comes_twice() -> None:
    """The repeat has the same bytes under another name, and its tickets are counted."""
    drop = tills.plan(300)
    files = dict(drop.files)
    assert files["till-01-again.csv"] == files["till-01.csv"]
    assert len(set(files.values())) == len(files) - 1
    assert drop.expected.duplicate == 50


def test_the_text_is_windows_1252() -> None:
    """The files hold characters that are other bytes in UTF-8 and absent from Latin-1."""
    text = b"".join(content for _, content in tills.plan(300).files)
    assert "é".encode("cp1252") in text
    assert "€".encode("cp1252") in text


def test_files_appear_whole(tmp_path: Path) -> None:
    """Nothing unfinished is left, and no name that matches *.csv was ever half a file."""
    drop = tills.plan(60)
    tills.drop(drop.files, tmp_path / "inbox")
    assert {path.name: path.read_bytes() for path in (tmp_path / "inbox").iterdir()} == dict(drop.files)


def test_too_few_tickets_are_refused() -> None:
    """Fewer than 20 tickets have no room for every kind of trouble."""
    with pytest.raises(ValueError, match="at least 20"):
        tills.plan(19)
