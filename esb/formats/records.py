"""Records that belong together become one document: the rows of a ticket, the lines of an order.

Only neighbours are grouped, so a stream of any length passes with one group in memory (Aggregator without a store).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from esb.errors import DecodeError
from esb.ports import Record
from esb.quoting import quote

Join = Callable[[Sequence[bytes]], bytes]
MOST_WAITING = 1000  # unreadable records held until it is known where they belong
LARGEST_GROUP = 64 * 1024**2  # bytes that the records of one group may weigh together
LARGEST_BATCH = 8 * 1024**2  # bytes of records, with which a batch is full however few they are
_OVERHEAD = 256  # bytes that even the smallest record weighs in memory


def group(
    records: Iterator[Record],
    group_by: str,
    lines: str = "lines",
    head: Sequence[str] | None = None,
    join: Join = b"".join,
) -> Iterator[Record]:
    """Neighbouring records with the same value in ``group_by``, as one record each, numbered from 1.

    The document has the fields of the group's first record (or those in ``head``, which must be alike in all) and
    the records, in full, under ``lines``. A record that cannot be read makes an error of the group around it: where
    its own key can be read, of the group with that key; else of the group that goes on behind it. Between two
    different groups it comes out by itself. A thousand of them in a row
    close the group before, so that a ruined stream does not pile up in memory; a group that does is refused.

    Args:
        records: what a format reads; one with an error may still carry the fields that could be read.
        group_by: the field.
        lines: where the records go.
        head: fields taken up; default all of the first record.
        join: puts raw records together so that they can be read again (``Format.join``).

    Raises:
        DecodeError: one group has more than fits into memory. What came before it is out.
    """
    for number, members in enumerate(_neighbours(records, group_by), 1):
        yield _one(number, members, lines, head, join)


def batch(records: Iterator[Record], size: int, lines: str = "lines") -> Iterator[Record]:
    """So many neighbouring records as one each, numbered from 1; the last one has what is left.

    Fewer where they are large, since a message has to fit into memory many times over. A record that cannot be read
    comes out by itself, with its number in the stream, and the others go on.
    """
    number, weight = 0, 0
    members: list[Any] = []
    for record in records:
        if record.error:
            number += 1
            yield Record(number, raw=record.raw, error=f"record {record.number}: {record.error}")
            continue
        members.append(record.document)
        weight += len(record.raw)
        if len(members) == size or weight >= LARGEST_BATCH:
            number += 1
            yield Record(number, {lines: members})
            members, weight = [], 0
    if members:
        yield Record(number + 1, {lines: members})


def _neighbours(records: Iterator[Record], field: str) -> Iterator[list[Record]]:
    """Runs of one key, none larger than can be held. Unreadable records wait until a readable one shows where they
    belong."""
    members: list[Record] = []
    waiting: list[Record] = []
    scales = _Scales()
    for record in (_keyed(record, field) for record in records):
        alike = bool(members) and _same(record, members[0], field)
        scales.add(record)
        if record.error and not alike:
            waiting.append(record)
            if len(waiting) < MOST_WAITING and not scales.full:
                continue
        if alike:
            members += [*waiting, record]
            if scales.full:
                raise _too_large(record, field)
        else:
            yield from _closed(members)
            own = bool(not record.error)
            yield from _runs([bad for bad in waiting if not (own and _same(bad, record, field))], field)
            members = [*(bad for bad in waiting if _same(bad, record, field)), record] if own else []
            scales.start(members)
        waiting = []
    yield from _closed(members)
    yield from _runs(waiting, field)


class _Scales:
    """Weigh what is held of a group and waits behind it, for the end of a group is not in sight."""

    def __init__(self) -> None:
        self._weight = 0

    @property
    def full(self) -> bool:
        """No more can be held."""
        return self._weight > LARGEST_GROUP

    def add(self, record: Record) -> None:
        """This is held too."""
        self._weight += len(record.raw) + _OVERHEAD

    def start(self, members: Sequence[Record]) -> None:
        """Only these are held from now."""
        self._weight = 0
        for one in members:
            self.add(one)


def _too_large(record: Record, field: str) -> DecodeError:
    return DecodeError(
        f"record {record.number}: the group with {field} {quote(_key(record, field), 40)} takes more than "
        f"{LARGEST_GROUP // 1024**2} MB; group by a field that tells smaller groups apart"
    )


def _keyed(record: Record, field: str) -> Record:
    """A record without a key cannot be placed: as good as unreadable."""
    if record.error or _key(record, field) is not None:
        return record
    error = f"the field {field}, by which records are grouped, is empty or missing"
    return Record(record.number, record.document, record.raw, error)


def _closed(members: list[Record]) -> Iterator[list[Record]]:
    if members:
        yield members


def _runs(records: list[Record], field: str) -> Iterator[list[Record]]:
    """Unreadable records on their own, neighbours with the same key together."""
    members: list[Record] = []
    for record in records:
        if members and not _same(record, members[0], field):
            yield members
            members = []
        members.append(record)
    yield from _closed(members)


def _same(one: Record, other: Record, field: str) -> bool:
    key = _key(one, field)
    return key is not None and key == _key(other, field)


def _key(record: Record, field: str) -> Any:
    value = record.document.get(field) if isinstance(record.document, dict) else None
    return None if value == "" else value


def _one(number: int, members: list[Record], lines: str, head: Sequence[str] | None, join: Join) -> Record:
    raw = join([member.raw for member in members])
    error = _fault(members, head)
    if error:
        return Record(number, raw=raw, error=error)
    first = members[0].document
    taken = first if head is None else {name: first[name] for name in head if name in first}
    return Record(number, {**taken, lines: [member.document for member in members]}, raw)


def _fault(members: list[Record], head: Sequence[str] | None) -> str:
    for member in members:
        if member.error:
            return f"record {member.number}: {member.error}"
    for name in head or ():
        other = _different(members, name)
        if other:
            first = members[0]
            return (
                f"record {other.number}: {name} is {_shown(other, name)}, but {_shown(first, name)} in record "
                f"{first.number} of the same group"
            )
    return ""


def _different(members: list[Record], name: str) -> Record | None:
    first = members[0].document.get(name)
    return next((member for member in members[1:] if member.document.get(name) != first), None)


def _shown(record: Record, name: str) -> str:
    return quote(record.document.get(name), 40)
