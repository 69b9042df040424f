"""The polling side of an endpoint: claim, read, publish, track, let go.

Only the holder of a fenced lease polls an endpoint. What it takes is claimed at the source, so a crash leaves it where
the next holder finds it; records already confirmed are skipped, and a repeat of the last batch gives the same ids.
Small things enter together: what a poll has claimed costs a few commits, not a few for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice

import msgspec

from esb.broker.port import Outcome, Publisher
from esb.config.definition import LoadedEndpoint
from esb.errors import EndpointError, EsbError, InternalError, MessageError, QueueFull, without_frames
from esb.message import content_id, derive_id
from esb.ports import Adapter, Claim, Record
from esb.store import ClaimState, Hop, Status, Transaction
from esb.worker.context import Context
from esb.worker.intake import Admitted, Door, Intake
from esb.worker.pieces import Piece, ended, gathered, positions, rounds
from esb.worker.thread import Worker, commit, log

CLAIMS = 200  # taken at once
BATCH = 500  # records published and tracked together
Numbered = tuple[int, Record]
LARGEST = 8 * 1024**2  # bytes of an unreadable thing that are kept with its parked message


class _Interrupted(Exception):  # noqa: N818 - not a failure
    """Told to stop, or no longer the poller: what is claimed stays claimed and comes first next time."""


class Poller(Worker):
    """Polls one endpoint."""

    def __init__(self, context: Context, endpoint: LoadedEndpoint, intake: Intake) -> None:
        super().__init__(f"poll {endpoint.name}")
        assert endpoint.receive is not None
        self._context = context
        self._endpoint = endpoint
        self._adapter: Adapter = context.adapters[endpoint.name]
        self._intake = intake
        self._door = Door(context, endpoint, self._commit)
        self._journal = context.journal("headers")
        self._every = endpoint.receive.common.poll
        self._duplicate = endpoint.receive.common.duplicate
        self._ttl = context.definition.config.worker.lease
        self._publisher: Publisher | None = None
        self._complaints: dict[str, str] = {}  # by claim ("" for the source): what was said of it last
        self._fence = 0

    def cycle(self) -> None:
        finished = 0
        with suppress(_Interrupted):
            self._go_on()
            for claims in self._claim():
                self._go_on()
                finished += self._finish(claims)
        if not finished:  # else there may be more
            self.stopping.wait(self._every)

    def recover(self) -> None:
        if self._publisher:
            self._publisher.close()
            self._publisher = None

    def finish(self) -> None:
        self.recover()
        with self._context.store.transaction() as t:
            t.leases.release(self.name, self._context.owner, self._fence)

    def _commit(self, write: Callable[[Transaction], object]) -> None:
        commit(self._context.store, write, self.stopping)

    def _go_on(self) -> None:
        with self._context.store.transaction() as t:
            fence = t.leases.acquire(self.name, self._context.owner, self._ttl)
        self._fence = fence or 0
        if fence is None or self.stopping.is_set():
            raise _Interrupted

    def _claim(self) -> Iterator[list[Claim]]:
        """What there is now; the same thing twice comes in different rounds."""
        try:
            claims = self._adapter.claim(self._context.owner, CLAIMS + len(self._complaints))
        except EndpointError as error:
            self._complain("", error)
            return iter(())
        self._complaints = {id: text for id, text in self._complaints.items() if id in {claim.id for claim in claims}}
        return rounds(claims, by_name=self._duplicate == "name")

    def _finish(self, claims: Sequence[Claim]) -> int:
        """How many of them were finished. One that cannot be read now is named, and does not hold up the others."""
        known = self._begin(claims)
        over = [claim for claim in claims if _is_over(known.get(claim.id), claim)]
        repeats = [claim for claim in claims if _is_repeat(known.get(claim.id), claim)]
        finished = self._let_go([Piece(claim) for claim in over])
        finished += sum(self._count_repeat(claim) for claim in repeats)
        passed = {claim.id for claim in (*over, *repeats)}
        fresh = [claim for claim in claims if claim.id not in passed]
        return finished + sum(self._enter(batch) for batch in gathered(self._pieces(fresh), BATCH))

    def _complain(self, about: str, error: EndpointError | OSError) -> None:
        """Once per trouble, not once per poll."""
        if self._complaints.get(about) != str(error):
            self._complaints[about] = str(error)
            kind = getattr(error, "kind", EndpointError.kind)
            log.warning("cannot poll", endpoint=self._endpoint.name, kind=kind, error=str(error))

    def _begin(self, claims: Sequence[Claim]) -> dict[str, ClaimState | None]:
        """What is known of each, by its id."""
        known: dict[str, ClaimState | None] = {}
        if self._duplicate != "none":
            name, keys = self._endpoint.name, [(claim, self._key(claim)) for claim in claims]
            self._commit(lambda t: known.update({c.id: t.claims.begin(name, key, c.name, c.id) for c, key in keys}))
        return known

    def _key(self, claim: Claim) -> str:
        return claim.name if self._duplicate == "name" else claim.key

    def _enter(self, batch: Sequence[Piece]) -> int:
        """Publish and track a batch, and let go of what ends in it: how many claims.

        Raises ``QueueFull`` behind the last record that a flow's queue took: the rest comes again later.
        """
        admitted = [one for piece in batch for _, one in piece.records]
        fates = self._door.fates(admitted, self._publish().publish(self._door.outgoing(admitted)))
        safe = fates.index(Outcome.REFUSED) if Outcome.REFUSED in fates else len(fates)
        over = ended(batch, safe)
        self._door.record(admitted[:safe], fates[:safe], lambda t: self._note(t, over))
        for claim, position in positions(batch, safe):
            self._settle(claim, partial(claim.advance, position))
        self._go_on()
        finished = self._let_go(over)
        if safe < len(fates):
            raise QueueFull(f"the queue of a flow of endpoint {self._endpoint.name} takes no more messages now")
        return finished

    def _note(self, t: Transaction, over: Sequence[Piece]) -> None:
        for piece in over:
            t.claims.finish(self._endpoint.name, self._key(piece.claim), "rejected" if piece.reason else "done")

    def _let_go(self, over: Sequence[Piece]) -> int:
        """Tell the source; where that fails for all at once, for each alone. How many it knows of."""
        if over:
            self._context.point("in: before done")
        done = [piece.claim for piece in over if not piece.reason]
        count = sum(self._settle(p.claim, partial(self._adapter.reject, p.claim, p.reason)) for p in over if p.reason)
        try:
            self._adapter.done_all(done)
        except (EndpointError, OSError):
            return count + sum(self._settle(claim, partial(self._adapter.done, claim)) for claim in done)
        return count + len(done)

    def _settle(self, claim: Claim, act: Callable[[], None]) -> bool:
        """Whether it could be done; what could not is named, and comes again."""
        try:
            act()
        except (EndpointError, OSError) as error:
            self._complain(claim.id, error)
            return False
        return True

    def _pieces(self, claims: Sequence[Claim]) -> Iterator[Piece]:
        """What is in the claims behind the last confirmed records."""
        for claim in claims:
            try:
                yield from self._read(claim)
            except (EndpointError, OSError) as error:
                self._complain(claim.id, error)

    def _read(self, claim: Claim) -> Iterator[Piece]:
        try:
            for batch in self._batches(claim):
                yield Piece(claim, [(number, self._admit(claim, number, record)) for number, record in batch])
            yield Piece(claim, ended=True)
        except MessageError as error:
            yield Piece(claim, [(0, self._unreadable(claim, error))], ended=True, reason=str(error))

    def _batches(self, claim: Claim) -> Iterator[list[Numbered]]:
        """Its records behind the last confirmed one. Raises ``MessageError`` when the claim cannot be understood."""
        try:
            with claim.open() as stream:
                numbered = enumerate(self._intake.records(stream), 1)
                records = ((number, record) for number, record in numbered if number > claim.position)
                while batch := list(islice(records, BATCH)):
                    yield batch
        except (EsbError, OSError):
            raise
        except Exception as error:  # a fault of the format, which this content would bring about at every poll
            log.error("unexpected error", endpoint=self._endpoint.name, while_trying_to="read", exc_info=error)
            raise InternalError(f"unexpected {type(error).__name__} while reading: {error}") from error

    def _publish(self) -> Publisher:
        self._publisher = self._publisher or self._context.broker.publisher(self.name)
        return self._publisher

    def _admit(self, claim: Claim, number: int, record: Record) -> Admitted:
        identity = claim.key if self._duplicate == "content" else f"{claim.key}\0{claim.id}"
        id = content_id(self._endpoint.name, identity, str(number), when=claim.time)
        return self._intake.admit(record, id=id, time=claim.time)

    def _unreadable(self, claim: Claim, error: MessageError) -> Admitted:
        """Nothing in it can be read: parked as one message, and moved aside at the source."""
        with claim.open() as stream:
            head = stream.read(LARGEST)
        admitted = self._admit(claim, 0, Record(0, raw=head, error=str(error)))
        admitted.error = without_frames(error)
        return admitted

    def _count_repeat(self, claim: Claim) -> int:
        """Each record of something seen before is accepted, and ends as a duplicate. 1; 0 where it failed."""
        return self._settle(claim, partial(self._track_repeat, claim)) and self._let_go([Piece(claim)])

    def _track_repeat(self, claim: Claim) -> None:
        try:
            for batch in self._batches(claim):
                self._track([self._repeat(claim, number, record) for number, record in batch])
                self._go_on()
        except MessageError:
            self._track([self._repeat(claim, 0, Record(0))])
        self._commit(lambda t: t.claims.repeated(self._endpoint.name, self._key(claim), claim.id, claim.name))

    def _track(self, rows: Sequence[Hop]) -> None:
        self._commit(lambda t: t.tracking.record(rows))

    def _repeat(self, claim: Claim, number: int, record: Record) -> Hop:
        first = self._admit(claim, number, record).message
        place, now = f"in:{self._endpoint.name}", self._context.clock()
        id = derive_id(claim.id, 0, place, "duplicate", number)
        message = msgspec.structs.replace(first, id=id, causation_id=first.id)
        row = self._journal.hop(message, place, Status.DUPLICATE, received_at=now, ended_at=now, detail=claim.name)
        return row.sanitised()


def _is_repeat(known: ClaimState | None, claim: Claim) -> bool:
    """Was the same taken before, by another claim than this very one?"""
    return known is not None and known.state != "open" and known.claim_id != claim.id


def _is_over(known: ClaimState | None, claim: Claim) -> bool:
    """Is everything of it safe already, and only the source does not know?"""
    return known is not None and known.state == "done" and known.claim_id == claim.id
