"""The verdict on a bus under fire: what every number was owed, what it got, and what the bus itself says of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from esb.store import Ledger, Parked

SHOWN = 5  # numbers named of those that are lost or doubled


class Debt(msgspec.Struct, frozen=True):
    """One kind of effect that numbers are owed, and what of it was seen.

    ``place``: where it waits when it is parked. ``doubt``: how many of them nobody may know about, since nothing
    at the other end tells a repeat (0: it heeds keys, or is exactly once).
    """

    name: str
    place: str
    owed: Collection[int]
    seen: Mapping[int, int]
    doubt: int = 0
    excused: frozenset[int] = frozenset()  # not owed after all: what comes before them is in doubt


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong. All collections empty: nothing is."""

    lost: dict[str, list[int]] = {}
    doubled: dict[str, list[int]] = {}
    strays: dict[str, list[int]] = {}  # effects that nobody was owed
    in_doubt: dict[str, int] = {}  # by place: all are listed by the bus
    too_doubtful: dict[str, str] = {}  # more than deaths and lies explain
    innocents: tuple[str, ...] = ()  # parked, though nothing was wrong with them
    sums: tuple[str, ...] = ()  # of the bus's own ledger, which do not add up

    @property
    def clean(self) -> bool:
        """Nothing lost, nothing doubled, doubt bounded and listed, no innocent parked, sums that hold."""
        return not (self.lost or self.doubled or self.strays or self.too_doubtful or self.innocents or self.sums)

    def __str__(self) -> str:
        wrong = {name: value for name, value in msgspec.structs.asdict(self).items() if value and name != "in_doubt"}
        return "\n".join(f"{name.replace('_', ' ')}: {_some(value)}" for name, value in wrong.items()) or "clean"


def judge(debts: Sequence[Debt], parked: Sequence[Parked], ledger: Ledger, accepted: int) -> Verdict:
    """Compare what was owed with what was seen.

    Args:
        debts: every kind of effect.
        parked: all that waits for a person.
        ledger: as the bus counts.
        accepted: messages that it was given.
    """
    doubtful = _doubtful(parked)
    doubled = {debt.name: sorted(n for n, count in debt.seen.items() if count > 1) for debt in debts}
    strays = {debt.name: sorted(debt.seen.keys() - set(debt.owed)) for debt in debts}
    return Verdict(
        lost=owing(debts, parked),
        doubled={name: numbers for name, numbers in doubled.items() if numbers},
        strays={name: numbers for name, numbers in strays.items() if numbers},
        in_doubt={place: len(numbers) for place, numbers in sorted(doubtful.items())},
        too_doubtful=_too_doubtful(debts, doubtful),
        innocents=tuple(f"{p.kind} at {p.place}: {p.error}"[:200] for p in parked if p.kind != "in doubt"),
        sums=tuple(_sums(ledger, accepted, sum(map(len, doubtful.values())))),
    )


def owing(debts: Sequence[Debt], parked: Sequence[Parked]) -> dict[str, list[int]]:
    """By name, the numbers that have not had what they are owed, and are not listed as in doubt."""
    doubtful = _doubtful(parked)
    lost = {debt.name: _lost(debt, doubtful) for debt in debts}
    return {name: numbers for name, numbers in lost.items() if numbers}


def _doubtful(parked: Sequence[Parked]) -> dict[str, set[int]]:
    """Numbers in doubt, by place."""
    found: dict[str, set[int]] = {}
    for row in parked:
        if row.kind == "in doubt":
            found.setdefault(row.place, set()).add(int(row.message.subject or -1))
    return found


def _lost(debt: Debt, doubtful: Mapping[str, set[int]]) -> list[int]:
    listed = doubtful.get(debt.place, set()) if debt.doubt else set()
    return [n for n in debt.owed if not debt.seen.get(n) and n not in listed and n not in debt.excused]


def _too_doubtful(debts: Sequence[Debt], doubtful: Mapping[str, set[int]]) -> dict[str, str]:
    bounds = Counter({debt.place: debt.doubt for debt in debts})
    counts = {place: len(numbers) for place, numbers in doubtful.items()}
    return {place: f"{n}, and at most {bounds[place]} may be" for place, n in counts.items() if n > bounds[place]}


def _sums(ledger: Ledger, accepted: int, doubtful: int) -> list[str]:
    """The two equations, and that they speak of what was given."""
    ended = ledger.completed + ledger.filtered + ledger.duplicate + ledger.unsubscribed + ledger.parked
    sent = ledger.done + ledger.compensated + ledger.rejected + ledger.out_parked + ledger.in_doubt
    claims = {
        "accepted": (ledger.accepted, accepted),
        "accepted = ended + in progress": (ledger.accepted, ended + ledger.discarded + ledger.in_progress),
        "sent = done + compensated + rejected + parked + in doubt": (ledger.sent, sent + ledger.out_discarded),
        "in doubt": (ledger.in_doubt, doubtful),
    }
    return [f"{name}: {left} and {right}" for name, (left, right) in claims.items() if left != right]


def _some(value: Any) -> str:
    """A value, with long lists cut."""
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_some(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return f"{len(value)} ({', '.join(map(str, value[:SHOWN]))}{' …' if len(value) > SHOWN else ''})"
    return str(value)
