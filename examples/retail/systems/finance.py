"""Finance: reads what was paid from a table that others fill, as it always has.

``python -m esb.examples.retail.systems.finance systems/finance.db`` prints the turnover by channel; ``--create`` makes
the table first.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from contextlib import closing
from pathlib import Path

# No unique index on order_no: a booking that is made twice shall be seen, not hidden.
SCHEMA = """CREATE TABLE IF NOT EXISTS bookings (
    id INTEGER PRIMARY KEY, order_no VARCHAR(20) NOT NULL, channel VARCHAR(10) NOT NULL, booked_on DATE NOT NULL,
    amount DECIMAL(12, 2) NOT NULL, currency CHAR(3) NOT NULL)"""


def create(database: Path) -> None:
    """Make the table where it is missing."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(SCHEMA)


def recorded(database: Path) -> dict[str, list[float]]:
    """The amounts that stand there for each order; one is right."""
    with closing(sqlite3.connect(database)) as db:
        rows = db.execute("SELECT order_no, amount FROM bookings ORDER BY id").fetchall()
    found: dict[str, list[float]] = {}
    for order, amount in rows:
        found.setdefault(order, []).append(float(amount))
    return found


def turnover(database: Path) -> dict[str, float]:
    """Channel and currency -> sum."""
    with closing(sqlite3.connect(database)) as db:
        rows = db.execute("SELECT channel || ' ' || currency, sum(amount) FROM bookings GROUP BY 1 ORDER BY 1")
        return {name: round(amount, 2) for name, amount in rows.fetchall()}


def main() -> None:
    """Print the turnover."""
    options = argparse.ArgumentParser(prog="finance", description="Finance's view of what was paid.")
    options.add_argument("database", type=Path)
    options.add_argument("--create", action="store_true", help="make the table first")
    chosen = options.parse_args()
    if chosen.create:
        create(chosen.database)
    print(json.dumps(turnover(chosen.database)))


if __name__ == "__main__":
    main()
