"""The old ERP: every night it writes a file of stock for each warehouse, in fixed width and EBCDIC.

``python -m esb.examples.retail.systems.erp inbox/erp --seed 1``

Records of 40 bytes in code page 500, without line ends:

| record  | bytes                                                                                     |
| ------- | ----------------------------------------------------------------------------------------- |
| header  | ``H``, day (8), warehouse (4)                                                              |
| detail  | ``D``, article (12), pieces (7, zoned with sign), price (5 bytes, packed, two decimals)    |
| trailer | ``T``, number of details (7), sum of the pieces (9)                                        |

One file's trailer is wrong, as it was in real life when a job was cut short. Same seed, same bytes. What is printed on
standard output is the :class:`Expected` outcome, as JSON.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path

from esb.examples.retail.systems.tills import ARTICLES, drop

WAREHOUSES = ("W1", "W2", "W3", "W4")
DAY = "20260314"
LENGTH = 40
CODE_PAGE = "cp500"
PARKED_AS = "decode"


@dataclass(frozen=True)
class Expected:
    """What must become of the files.

    Attributes:
        files: file names.
        levels: ``warehouse/article`` -> pieces, each of which comes in as a message.
        wrong: file names whose trailer does not fit; it is parked, the details have left by then.
    """

    files: list[str]
    levels: dict[str, int]
    wrong: list[str]


def plan(seed: int = 1) -> tuple[list[tuple[str, bytes]], Expected]:
    """Make up the files. Pure: the same seed gives the same bytes."""
    chance = random.Random(f"stock {seed}")
    files: list[tuple[str, bytes]] = []
    levels: dict[str, int] = {}
    for warehouse in WAREHOUSES:
        stock = {sku: chance.randint(-3, 4000) for sku, _, _ in ARTICLES}
        levels |= {f"{warehouse}/{sku}": pieces for sku, pieces in stock.items()}
        files.append((f"STOCK-{warehouse}.DAT", _file(warehouse, stock, missing=int(warehouse == WAREHOUSES[-1]))))
    return files, Expected([name for name, _ in files], levels, [files[-1][0]])


def _file(warehouse: str, stock: dict[str, int], missing: int) -> bytes:
    """A file; its trailer says that so many details more were written than there are."""
    prices = {sku: Decimal(price) for sku, _, price in ARTICLES}
    details = [
        _text(f"D{sku:<12}") + _zoned(pieces, 7) + _packed(int(prices[sku] * 100), 5) for sku, pieces in stock.items()
    ]
    header = _text(f"H{DAY}{warehouse:<4}")
    trailer = _text(f"T{len(stock) + missing:07d}") + _zoned(sum(stock.values()), 9)
    return b"".join(record.ljust(LENGTH, _text(" ")) for record in [header, *details, trailer])


def _text(text: str) -> bytes:
    return text.encode(CODE_PAGE)


def _zoned(number: int, digits: int) -> bytes:
    """One digit a byte; the sign is in the last one's upper half: C plus, D minus."""
    text = _text(f"{abs(number):0{digits}d}")
    return text[:-1] + bytes([text[-1] & 0x0F | (0xD0 if number < 0 else 0xC0)])


def _packed(number: int, length: int) -> bytes:
    """Two digits a byte, and the sign in the last half: C plus, D minus (COBOL's COMP-3)."""
    return bytes.fromhex(f"{abs(number):0{2 * length - 1}d}" + ("D" if number < 0 else "C"))


def main() -> None:
    """Drop the files and print what must become of them."""
    options = argparse.ArgumentParser(prog="erp", description="An ERP that writes stock in fixed width.")
    options.add_argument("inbox", type=Path)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    files, expected = plan(chosen.seed)
    drop(files, chosen.inbox)
    print(json.dumps(asdict(expected)))


if __name__ == "__main__":
    main()
