"""The ledger: what became of every message and of every obligation, counted by the database.

Two equations hold at any time. Of messages: accepted = completed + filtered + duplicate + unsubscribed + parked +
discarded + in progress. Of obligations (one send to one endpoint): sent = done + compensated + rejected + parked + in
doubt + discarded + retrying + in flight; a rejected one was answered with a failure, and whoever asked for it decides.
The bus has settled when nothing is in progress, retrying or in flight, and no saga is under way by itself. A flow lets
its commands out before it writes down how many there were, so what an endpoint has done already may stand against what
another has still to do: who asks looks twice (:meth:`Ledger.still_settled`).
Test messages, and what comes of them, are in neither: they enter at "test:" and have correlation ids that begin so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from esb.store.connection import Connection


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers.

    ``flows`` tells per flow how many copies stand at each status, ``parked_by`` what waits for a person.
    """

    accepted: int = 0
    completed: int = 0
    filtered: int = 0
    duplicate: int = 0
    unsubscribed: int = 0
    parked: int = 0
    discarded: int = 0
    in_progress: int = 0

    sent: int = 0
    done: int = 0
    compensated: int = 0  # done, and undone by a saga
    rejected: int = 0
    out_parked: int = 0
    in_doubt: int = 0
    out_discarded: int = 0
    retrying: int = 0

    published: int = 0
    events_unsubscribed: int = 0
    repeats: int = 0  # things a source offered again: same file, same row
    flows: dict[str, dict[int, int]] = {}  # place -> status -> copies
    sagas: dict[str, int] = {}  # status -> how many
    parked_by: tuple[tuple[str, str, int], ...] = ()  # (kind, place, how many), the most first

    @property
    def in_flight(self) -> int:
        """Obligations of which nothing has been heard yet: in a queue, or being sent."""
        ended = self.done + self.compensated + self.rejected + self.out_parked + self.in_doubt + self.out_discarded
        return self.sent - ended - self.retrying

    def still_settled(self, before: Ledger | None) -> bool:
        """As :attr:`settled`, with the same numbers as at a look before: nothing was recorded in between."""
        return self.settled and self == before

    @property
    def settled(self) -> bool:
        """Nothing will change any more by itself, as far as one look can tell."""
        sagas = self.sagas.get("running", 0) + self.sagas.get("compensating", 0)
        moving = self.in_progress or self.retrying or self.in_flight or sagas
        return not moving and not any(counts.get(10) or counts.get(11) for counts in self.flows.values())


# A message is its row at "in:" together with its rows at "flow:" (what lies between "flow:" and "in;" in byte order)
# and at "saga:". What a saga was answered has a row there, too, and none at "in:".
# One pass over the primary key; the bodies at the end of each row are never read.
_MESSAGES = """
WITH message AS (
    SELECT max(CASE WHEN place >= 'in:' AND place < 'in;' THEN status END) AS entry,
           coalesce(max(CASE WHEN place >= 'in:' AND place < 'in;' THEN sent END), 0) AS copies,
           sum(CASE WHEN place >= 'in:' AND place < 'in;' THEN 0 ELSE 1 END) AS flows,
           sum(CASE WHEN status IN (20, 21) THEN 1 ELSE 0 END) AS parked,
           sum(CASE WHEN status IN (10, 11) THEN 1 ELSE 0 END) AS moving,
           sum(CASE WHEN status = 33 THEN 1 ELSE 0 END) AS filtered,
           sum(CASE WHEN status = 35 THEN 1 ELSE 0 END) AS discarded
    FROM hops WHERE (place >= 'flow:' AND place < 'in;') OR (place >= 'saga:' AND place < 'saga;') GROUP BY message_id
)
SELECT CASE WHEN entry = 31 THEN 'duplicate'
            WHEN entry = 32 THEN 'unsubscribed'
            WHEN parked > 0 THEN 'parked'
            WHEN entry = 35 THEN 'discarded'
            WHEN moving > 0 OR flows = 0 OR flows < copies THEN 'in_progress'
            WHEN discarded > 0 THEN 'discarded'
            WHEN filtered = flows THEN 'filtered'
            ELSE 'completed' END AS class, count(*)
FROM message WHERE entry IS NOT NULL GROUP BY 1
"""
_PLACES = """
SELECT place, status, count(*), sum(sent), sum(published)
FROM hops WHERE place >= 'event:' AND (place < 'in:' OR place >= 'out:')
AND (correlation_id < 'test:' OR correlation_id >= 'test;') GROUP BY place, status
"""
_PARKED = """
SELECT kind, place, count(*) FROM parked WHERE status = 'parked' GROUP BY kind, place ORDER BY 3 DESC, 1, 2
"""
_SAGAS = """
SELECT status, count(*) FROM sagas WHERE correlation_id < 'test:' OR correlation_id >= 'test;' GROUP BY status
"""
_OUT = {
    34: "done",
    36: "compensated",
    22: "rejected",
    21: "out_parked",
    20: "in_doubt",
    35: "out_discarded",
    10: "retrying",
}


def read(connection: Connection) -> Ledger:
    """Count. Use a reading transaction, so that all numbers are of one moment."""
    numbers = {name: int(count) for name, count in connection.rows(_MESSAGES)}
    flows: dict[str, dict[int, int]] = {}
    totals: dict[str, int] = {}
    for place, status, count, sent, published in connection.rows(_PLACES):
        if place.startswith(("flow:", "saga:")):
            flows.setdefault(place, {})[status] = count
            _add(totals, "sent", sent)
            _add(totals, "published", published)
        elif place.startswith("out:"):
            _add(totals, _OUT.get(status, "done"), count)
        elif status == 32:
            _add(totals, "events_unsubscribed", count)
    return Ledger(
        accepted=sum(numbers.values()),
        repeats=int(connection.row("SELECT coalesce(sum(repeats), 0) FROM claims")[0]),
        flows=flows,
        sagas={status: int(count) for status, count in connection.rows(_SAGAS)},
        parked_by=tuple((kind, place, int(count)) for kind, place, count in connection.rows(_PARKED)),
        **numbers,
        **totals,
    )


def _add(totals: dict[str, int], name: str, count: int) -> None:
    totals[name] = totals.get(name, 0) + int(count)
