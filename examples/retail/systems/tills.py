"""The tills: each drops a CSV file of tickets, some broken in known ways, and says what must become of them.

``python -m esb.examples.retail.systems.tills inbox/pos --tickets 300``

A till writes semicolons, decimal commas and Windows-1252, one row for each line of a ticket. Same seed, same bytes.
What is printed on standard output is the :class:`Expected` outcome, as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path

COLUMNS = (
    "ticket", "store", "date", "mode", "channel", "customer", "name", "country",
    "sku", "article", "quantity", "price", "total", "remark",
)  # fmt: skip
COUNTRIES = ("D", "A", "CH", "F", "I", "E", "NL", "B", "GB")
NAMES = (
    "José Álvarez",
    "Anke Müller",
    "François Lefèvre",
    "Siân Ní Néill",
    "Jürgen Groß",
    "Ines Sørensen",
    "Mary Poole",
)
ARTICLES = (
    ("T-100", "Café crème, 250 g", "6.45"),
    ("T-205", "Filter paper no. 4", "2.10"),
    ("T-310", "Kettle “Größe L”", "49.90"),
    ("T-422", "Mug, 0.3 l", "7.95"),
    ("T-518", "Grinder", "129.00"),
    ("T-640", "Descaler", "4.35"),
)
DISCONTINUED = ("T-999", "Teapot, discontinued", "24.00")  # the warehouse no longer has it
REMARKS = ("", "", "", "gift wrap", "ring twice", "5 € voucher")
UNDEFINED = b"\x81"  # one of the five bytes that Windows-1252 gives no character
LEAST = 20  # tickets; fewer have no room for every kind of trouble

UNREADABLE, NO_ARTICLE, NO_SUCH_COUNTRY, WRONG_TOTAL = "unreadable", "no article", "no such country", "wrong total"
OLD_ARTICLE = "old article"  # becomes an order, but the warehouse refuses it
PARKED_AS = {UNREADABLE: "decode", NO_ARTICLE: "contract", NO_SUCH_COUNTRY: "mapping", WRONG_TOTAL: "mapping"}


@dataclass(frozen=True)
class Ticket:
    """One sale at a till, and what is wrong with it, if anything."""

    number: str
    till: int
    training: bool
    collect: bool
    trouble: str
    old: bool
    total: Decimal
    rows: tuple[bytes, ...]

    @property
    def order_id(self) -> str:
        """The number that its order has in all other systems."""
        return f"SO-{self.number}"


@dataclass(frozen=True)
class Expected:
    """What must become of the tickets, as the bus counts: accepted = filtered + duplicate + completed + parked.

    Attributes:
        files: file names dropped, the repeat among them.
        accepted: tickets that come in, those of a repeated file again.
        filtered: tickets of tills in training.
        duplicate: tickets of the file that comes again, under another name.
        completed: tickets that become an order.
        parked: kind of failure -> tickets.
        parked_why: trouble -> ticket numbers.
        ship: order numbers that the warehouse sends out.
        collect: order numbers that a customer collects.
        refused: those among both that have an article which the warehouse no longer has.
        amounts: order number -> what was paid for it at the till.
    """

    files: list[str]
    accepted: int
    filtered: int
    duplicate: int
    completed: int
    parked: dict[str, int]
    parked_why: dict[str, list[str]]
    ship: list[str]
    collect: list[str]
    refused: list[str]
    amounts: dict[str, float]

    @property
    def orders(self) -> list[str]:
        """All order numbers, each of which is placed, searchable and archived."""
        return sorted(self.ship + self.collect)


@dataclass(frozen=True)
class Drop:
    """The files of all tills, in the order they are dropped, and what must become of them."""

    files: tuple[tuple[str, bytes], ...]
    expected: Expected


def plan(tickets: int = 300, seed: int = 1, tills: int = 6) -> Drop:
    """Make up the tickets. Pure: the same arguments give the same bytes.

    Raises:
        ValueError: fewer than 20 tickets have no room for every kind of trouble.
    """
    if tickets < LEAST:
        raise ValueError(f"at least {LEAST} tickets are needed, for every kind of trouble to occur: {tickets} given")
    chance = random.Random(seed)
    fates = _fates(tickets, chance)
    sold = [_ticket(number, number % tills + 1, fate, chance) for number, fate in enumerate(fates)]
    by_till = [[ticket for ticket in sold if ticket.till == till] for till in range(1, tills + 1)]
    files = [(f"till-{till:02d}.csv", _file(batch)) for till, batch in enumerate(by_till, start=1)]
    files.insert(-1, ("till-01-again.csv", files[0][1]))
    return Drop(tuple(files), _expected([name for name, _ in files], sold, by_till[0]))


def drop(files: Sequence[tuple[str, bytes]], inbox: Path) -> None:
    """Put the files into the inbox, each whole: written under another name, then renamed."""
    inbox.mkdir(parents=True, exist_ok=True)
    for name, content in files:
        unfinished = inbox / f".{name}.part"
        unfinished.write_bytes(content)
        os.replace(unfinished, inbox / name)


def _fates(tickets: int, chance: random.Random) -> list[str]:
    """What happens to each ticket, in random order: every kind of trouble, training, collection, or nothing special."""
    share = max(1, tickets // 100)
    fates = [trouble for trouble in (*PARKED_AS, OLD_ARTICLE) for _ in range(share)]
    fates += ["training"] * (tickets // 20) + ["collect"] * (tickets // 6)
    fates += [""] * (tickets - len(fates))
    chance.shuffle(fates)
    return fates


def _ticket(number: int, till: int, fate: str, chance: random.Random) -> Ticket:
    name = f"{till:02d}-{number:05d}"
    lines = [(*chance.choice(ARTICLES), chance.randint(1, 4)) for _ in range(chance.randint(1, 4))]
    if fate == OLD_ARTICLE:
        lines.append((*DISCONTINUED, 1))
    total = sum((Decimal(price) * quantity for _, _, price, quantity in lines), Decimal(0))
    trouble = fate if fate in PARKED_AS else ""
    head = _head(name, till, fate, total, chance)
    broken = chance.randrange(len(lines))  # one row is enough to spoil a ticket
    rows = tuple(_rows(head, lines, fate, broken))
    return Ticket(name, till, fate == "training", fate == "collect", trouble, fate == OLD_ARTICLE, total, rows)


def _head(number: str, till: int, fate: str, total: Decimal, chance: random.Random) -> dict[str, str]:
    """What all rows of a ticket share."""
    return {
        "ticket": number,
        "store": f"S{till % 3 + 1}",
        "date": f"{chance.randint(1, 28):02d}.03.2026",
        "mode": "TRAINING" if fate == "training" else "SALE",
        "channel": "COLLECT" if fate == "collect" else "SHIP",
        "customer": f"C{chance.randint(1, 9999):04d}",
        "name": chance.choice(NAMES),
        "country": "YU" if fate == NO_SUCH_COUNTRY else chance.choice(COUNTRIES),
        "total": _comma(total + 1 if fate == WRONG_TOTAL else total),
        "remark": chance.choice(REMARKS),
    }


def _rows(head: dict[str, str], lines: Sequence[tuple[str, str, str, int]], fate: str, broken: int) -> Iterator[bytes]:
    for place, (sku, article, price, quantity) in enumerate(lines):
        line = {"article": article, "quantity": str(quantity), "price": _comma(Decimal(price))}
        line["sku"] = "" if fate == NO_ARTICLE and place == broken else sku
        yield _row({**head, **line}) + (UNDEFINED if fate == UNREADABLE and place == broken else b"")


def _comma(amount: Decimal) -> str:
    return f"{amount:.2f}".replace(".", ",")


def _row(fields: dict[str, str]) -> bytes:
    # No field holds a semicolon, a quote or a line break, so that no quoting is needed: tills know none.
    return ";".join(fields[column] for column in COLUMNS).encode("cp1252")


def _file(tickets: Sequence[Ticket]) -> bytes:
    rows = [";".join(COLUMNS).encode("cp1252"), *(row for ticket in tickets for row in ticket.rows)]
    return b"".join(row + b"\r\n" for row in rows)


def _expected(files: list[str], tickets: Sequence[Ticket], repeated: Sequence[Ticket]) -> Expected:
    sound = [ticket for ticket in tickets if not ticket.trouble and not ticket.training]
    why = {trouble: [t.number for t in tickets if t.trouble == trouble] for trouble in PARKED_AS}
    parked: dict[str, int] = {}
    for trouble, numbers in why.items():
        parked[PARKED_AS[trouble]] = parked.get(PARKED_AS[trouble], 0) + len(numbers)
    return Expected(
        files=files,
        accepted=len(tickets) + len(repeated),
        filtered=sum(ticket.training for ticket in tickets),
        duplicate=len(repeated),
        completed=len(sound),
        parked=parked,
        parked_why=why,
        ship=[ticket.order_id for ticket in sound if not ticket.collect],
        collect=[ticket.order_id for ticket in sound if ticket.collect],
        refused=[ticket.order_id for ticket in sound if ticket.old],
        amounts={ticket.order_id: float(ticket.total) for ticket in sound},
    )


def main() -> None:
    """Drop the files and print what must become of them."""
    options = argparse.ArgumentParser(prog="tills", description="Tills that drop CSV files of tickets.")
    options.add_argument("inbox", type=Path)
    options.add_argument("--tickets", type=int, default=300, help=f"at least {LEAST}")
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    try:
        planned = plan(chosen.tickets, chosen.seed)
    except ValueError as error:
        options.error(str(error))
    drop(planned.files, chosen.inbox)
    print(json.dumps(asdict(planned.expected)))


if __name__ == "__main__":
    main()
