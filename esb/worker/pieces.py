"""Pieces of claims that enter together: one publish and one commit for the records of many small things."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from esb.ports import Claim
from esb.worker.intake import Admitted

OCTETS = 8 * 1024**2  # of records gathered from several pieces


class Piece(msgspec.Struct, frozen=True):
    """Some records of a claim, by number; ``ended``: nothing comes behind them. ``reason``: why it cannot be read."""

    claim: Claim
    records: Sequence[tuple[int, Admitted]] = ()
    ended: bool = False
    reason: str = ""

    @property
    def octets(self) -> int:
        return sum(len(admitted.message.body) for _, admitted in self.records)


def gathered(pieces: Iterable[Piece], most: int) -> Iterator[list[Piece]]:
    """The pieces in batches of ``most`` records, and of what memory takes; a larger piece is a batch by itself."""
    batch: list[Piece] = []
    records = octets = 0
    for piece in pieces:
        if records and (records + len(piece.records) > most or octets + piece.octets > OCTETS):
            yield batch
            batch, records, octets = [], 0, 0
        batch.append(piece)
        records, octets = records + len(piece.records), octets + piece.octets
    if batch:
        yield batch


def ended(batch: Iterable[Piece], safe: int) -> list[Piece]:
    """The pieces that end their claim and lie within the first ``safe`` records of the batch."""
    found, count = [], 0
    for piece in batch:
        count += len(piece.records)
        if piece.ended and count <= safe:
            found.append(piece)
    return found


def positions(batch: Iterable[Piece], safe: int) -> list[tuple[Claim, int]]:
    """Each claim and its last record among the first ``safe`` of the batch."""
    numbered = [(piece.claim, number) for piece in batch for number, _ in piece.records][:safe]
    last = {claim.id: (claim, number) for claim, number in numbered}
    return [(claim, number) for claim, number in last.values() if number]  # 0: the whole, which cannot be read


def rounds(claims: Sequence[Claim], by_name: bool) -> Iterator[list[Claim]]:
    """Such that no round holds the same thing twice: the second is a repeat only once the first is through."""
    while claims:
        firsts: dict[str, Claim] = {}
        for claim in claims:
            firsts.setdefault(claim.name if by_name else claim.key, claim)
        yield list(firsts.values())
        taken = {claim.id for claim in firsts.values()}
        claims = [claim for claim in claims if claim.id not in taken]
