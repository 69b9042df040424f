"""The polling side of an endpoint: claim, read, publish, track, let go.

Only the holder of a fenced lease polls an endpoint. What it takes is claimed at the source, so a crash leaves it where
the next holder finds it; records already confirmed are skipped, and a repeat of the last batch gives the same ids.

What was claimed before, by somebody who may have died of it, is marked as a suspect until it gets on. Whatever has
taken four processes with it is rejected, as what cannot be read.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Literal

import msgspec

from esb.broker.port import Publisher
from esb.config.definition import LoadedEndpoint
from esb.errors import EndpointError, EsbError, InternalError, MessageError, without_frames
from esb.message import Message, content_id, derive_id
from esb.ports import Adapter, Claim, Record
from esb.store import ClaimState, Hop, Status, Transaction
from esb.worker import intake, suspects
from esb.worker.bundle import Bundle, is_full
from esb.worker.context import Context
from esb.worker.intake import Admitted, Door, Intake
from esb.worker.rows import fit
from esb.worker.thread import Worker, commit, log

CLAIMS = 50  # taken at once
BATCH = 500  # records published and tracked together
State = Literal["done", "rejected", "broken"]
Numbered = tuple[int, Admitted]
LARGEST = 8 * 1024**2  # bytes of an unreadable thing that its parked message keeps; of a larger one it keeps none
_KILLS = (
    "four processes died while it was read, the last two while nothing else ran; it is not read again: see what is "
    "unusual about it, and give it anew in smaller parts"
)


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
        self._marks = suspects.Marks(context, self.stopping)
        self._every = endpoint.receive.common.poll
        self._duplicate = endpoint.receive.common.duplicate
        rules = endpoint.records
        self._batch = max(1, BATCH // (rules.batch or 1)) if rules else BATCH  # so many records lie in memory
        self._ttl = context.definition.config.worker.lease
        self._publisher: Publisher | None = None
        self._complaints: dict[str, str] = {}  # by claim ("" for the source): what was said of it last
        self._fence = 0
        self._renewed_at = -math.inf
        self._was_full = False

    def cycle(self) -> None:
        if self._may_poll() and self._poll():
            return  # there may be more
        self.stopping.wait(self._every)

    def recover(self) -> None:
        try:
            self._let_go()
        finally:
            self._marks.forgive()

    def _let_go(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher:
            publisher.close()

    def finish(self) -> None:
        self._quietly(self.recover)
        with self._context.store.transaction() as t:
            t.leases.release(self.name, self._context.owner, self._fence)

    def _commit(self, write: Callable[[Transaction], object]) -> None:
        commit(self._context.store, write, self.stopping)

    def _may_poll(self) -> bool:
        """Nobody has paused the endpoint, not too much waits behind it, and nobody else polls it.

        A lease that was renewed within a third of its time is ours still, whatever has happened since.
        """
        if self._endpoint.name in self._context.board.now().paused or self._is_full():
            return False
        return time.monotonic() < self._renewed_at + self._ttl / 3 or self._holds_lease()

    def _is_full(self) -> bool:
        full = self._context.pressure(self._endpoint.name)
        if full and not self._was_full:
            log.warning("polls rest", endpoint=self._endpoint.name, because=full)
        self._was_full = bool(full)
        return self._was_full

    def _holds_lease(self) -> bool:
        now = time.monotonic()
        with self._context.store.transaction() as t:
            fence = t.leases.acquire(self.name, self._context.owner, self._ttl)
        self._fence = fence or 0
        self._renewed_at = now if fence is not None else -math.inf
        return fence is not None

    def _poll(self) -> int:
        """How many claims were finished. One that cannot be read now is named, and does not hold up the others."""
        try:
            claims = self._adapter.claim(self._context.owner, CLAIMS + len(self._complaints))
        except EndpointError as error:
            self._complain("", error)
            return 0
        self._complaints = {id: text for id, text in self._complaints.items() if id in {claim.id for claim in claims}}
        try:
            return self._take_all(claims)
        finally:
            self._marks.leave()

    def _take_all(self, claims: Sequence[Claim]) -> int:
        if not self._goes_on():
            return 0
        finished = 0
        for some, take in self._portions(claims):
            if not self._goes_on():
                return 0  # the rest stays claimed and comes first next time
            try:
                take()
                finished += len(some)
            except (EndpointError, OSError) as error:
                self._complain(some[0].id, error)
            self._marks.forgive()  # whatever became of it, nobody died
        return finished

    def _portions(self, claims: Sequence[Claim]) -> Iterator[tuple[Sequence[Claim], Callable[[], None]]]:
        """What is new and small goes in together with what comes behind it, so that a thousand small files or rows do
        not cost a thousand commits; all else goes in by itself, in its turn. Each with how to take it."""
        fresh = self._begin_all(claims) if self._duplicate != "none" else frozenset[str]()
        bundle = Bundle()
        for claim in claims:
            whole = self._whole(claim) if claim.id in fresh else None
            if bundle.claims and (whole is None or not bundle.has_room(whole, self._batch)):
                yield bundle.claims, partial(self._take_together, bundle)
                bundle = Bundle()
            if whole is None:
                yield [claim], partial(self._take, claim, claim.id in fresh)
            else:
                bundle.add(claim, whole)
        if bundle.claims:
            yield bundle.claims, partial(self._take_together, bundle)

    def _begin_all(self, claims: Sequence[Claim]) -> frozenset[str]:
        """The ids of those that nobody has taken before, which are on record as begun."""
        firsts: dict[str, Claim] = {}
        for claim in claims:
            firsts.setdefault(self._key(claim), claim)
        begun: list[set[str]] = []
        rows = [(key, claim.name, claim.id) for key, claim in firsts.items()]
        self._commit(lambda t: begun.append(t.claims.begin_all(self._endpoint.name, rows)))
        return frozenset(firsts[key].id for key in begun[-1])

    def _whole(self, claim: Claim) -> list[Admitted] | None:
        """All records of a small one. None: it is large, or cannot be read, which is seen to when it has its turn."""
        try:
            with closing(self._batches(claim, suspect=False)) as batches:
                only = next(batches, [])
                return None if next(batches, None) else [admitted for _, admitted in only]
        except (EndpointError, MessageError, OSError):
            return None

    def _take_together(self, bundle: Bundle) -> None:
        ended = [(self._key(claim), records) for claim, records in zip(bundle.claims, bundle.counts, strict=True)]

        def finish(t: Transaction) -> None:
            t.claims.finish_all(self._endpoint.name, ended)

        if bundle.records:
            self._enter(bundle.records, finish)
        else:
            self._commit(finish)
        self._context.point("in: before done")
        self._adapter.done_all(bundle.claims)

    def _key(self, claim: Claim) -> str:
        return claim.name if self._duplicate == "name" else claim.key

    def _complain(self, about: str, error: EndpointError | OSError) -> None:
        """Once per trouble, not once per poll."""
        if self._complaints.get(about) != str(error):
            self._complaints[about] = str(error)
            kind = getattr(error, "kind", EndpointError.kind)
            log.warning("cannot poll", endpoint=self._endpoint.name, kind=kind, error=str(error))

    def _take(self, claim: Claim, fresh: bool = False) -> None:
        """``fresh``: it is on record as begun just now."""
        key = self._key(claim)
        known = self._begin(claim, key) if self._duplicate != "none" and not fresh else None
        if known is not None and known.state == "done" and known.claim_id == claim.id:
            self._adapter.done(claim)  # whoever took it died before its source was told
            return
        suspect = known is not None or self._duplicate == "none"  # it may have been taken before, by somebody who died
        if suspect and not (self._marks.may_run(self._mark(claim)) and self._may_poll()):
            return
        if known is not None and known.state == "broken":
            known = self._reopen(claim, key, known)
        is_repeat = known is not None and known.state != "open" and known.claim_id != claim.id
        act = self._count_repeat if is_repeat else self._read
        if act(claim, key, suspect):  # else told to stop, or no longer the poller: it is resumed later
            self._context.point("in: before done")
            self._adapter.done(claim)

    def _begin(self, claim: Claim, key: str) -> ClaimState | None:
        """What is known of the same, if it was taken before, by this very claim or by another."""
        known: list[ClaimState | None] = []
        self._commit(lambda t: known.append(t.claims.begin(self._endpoint.name, key, claim.name, claim.id)))
        return known[-1]

    def _reopen(self, claim: Claim, key: str, known: ClaimState) -> ClaimState:
        """What could not be read to its end, and lay with its source since, is given once more."""
        if known.position > claim.position:
            claim.advance(known.position)  # before it is open: else a death in between would bring these in again
        self._commit(lambda t: t.claims.reopen(self._endpoint.name, key, claim.id))
        return msgspec.structs.replace(known, state="open")

    def _mark(self, claim: Claim) -> suspects.Key:
        return fit(claim.id), f"poll:{self._endpoint.name}"

    def _read(self, claim: Claim, key: str, suspect: bool) -> bool:
        """Publish all records behind the last confirmed one; False when interrupted."""
        state: State = "done"
        try:
            for batch in self._batches(claim, suspect):
                self._enter([admitted for _, admitted in batch], self._clear)
                claim.advance(batch[-1][0])
                self._marks.settled(self._marks.pending())  # it gets on, whoever died of what comes now
                if not self._goes_on():
                    return False
        except MessageError as error:
            state = self._reject(claim, error)

        def write(t: Transaction) -> None:
            t.claims.advance(self._endpoint.name, key, claim.position)
            t.claims.finish(self._endpoint.name, key, state)

        self._end(write)
        return True

    def _enter(self, batch: Sequence[Admitted], then: Callable[[Transaction], None] | None = None) -> None:
        """Where the broker cannot take one of them (its headers are too long), that one is parked; the others enter.

        ``then`` is in the commit with which all of them are tracked.
        """
        try:
            self._door.enter(batch, self._publish(), then)
        except MessageError as error:
            self._let_go()
            if len(batch) > 1:
                for admitted in batch:
                    self._enter([admitted], then if admitted is batch[-1] else None)
            else:
                batch[0].error = without_frames(error)
                self._door.enter(batch, self._publish(), then)

    def _clear(self, t: Transaction) -> None:
        if marked := self._marks.pending():
            self._marks.clear(t, marked)

    def _end(self, write: Callable[[Transaction], None]) -> None:
        """The last commit about a claim, which is under no suspicion any more."""

        def write_and_clear(t: Transaction) -> None:
            write(t)
            self._clear(t)

        self._commit(write_and_clear)
        self._marks.settled(self._marks.pending())

    def _batches(self, claim: Claim, suspect: bool) -> Generator[list[Numbered]]:
        """Its records behind the last confirmed one. Raises ``MessageError`` when the claim cannot be understood."""
        if suspect and self._marks.deadly(self._mark(claim)):
            raise suspects.KillsWorker(_KILLS)
        try:
            with claim.open() as stream:
                numbered = enumerate(self._intake.records(stream), 1)
                records = ((number, record) for number, record in numbered if number > claim.position)
                yield from self._filled((number, self._admit(claim, number, record)) for number, record in records)
        except (EsbError, OSError):
            raise
        except Exception as error:  # a fault of the format, which this content would bring about at every poll
            log.error("unexpected error", endpoint=self._endpoint.name, while_trying_to="read", exc_info=error)
            raise InternalError(f"unexpected {type(error).__name__} while reading: {error}") from error

    def _filled(self, entries: Iterator[Numbered]) -> Iterator[list[Numbered]]:
        """As many as may lie in memory together. Of each only the message does, not what it was read from."""
        batch: list[Numbered] = []
        size = 0
        try:
            for number, admitted in entries:
                batch.append((number, admitted))
                size += len(admitted.message.body)
                if len(batch) >= self._batch or is_full(size):
                    yield batch
                    batch, size = [], 0
        except MessageError:  # the rest cannot be read, which is no reason to lose what came before it
            if batch:
                yield batch
            raise
        if batch:
            yield batch

    def _goes_on(self) -> bool:
        """Behind whoever wants to be alone in this process, for nothing is under way here now."""
        self._marks.leave()
        return self._marks.join_in_turn() and self._may_poll()

    def _publish(self) -> Publisher:
        self._publisher = self._publisher or self._context.broker.publisher(self.name)
        return self._publisher

    def _admit(self, claim: Claim, number: int, record: Record) -> Admitted:
        identity = claim.key if self._duplicate == "content" else f"{claim.key}\0{claim.id}"
        id = content_id(self._endpoint.name, identity, str(number), when=claim.time)
        return self._intake.admit(record, id=id, time=claim.time)

    def _reject(self, claim: Claim, error: MessageError) -> State:
        """Nothing (more) in it can be read: parked as one message, and moved aside at the source.

        Its bytes are parked where a retry can do with them: all of them, and nothing of it has entered. What is broken
        is with its source, and goes on when that gives it once more.
        """
        whole = b""
        if not claim.position:
            with claim.open() as stream:
                whole = stream.read(LARGEST + 1)
        # A line is a record in most formats, and a retry takes so many at once.
        broken = bool(claim.position) or len(whole) > LARGEST or whole.count(b"\n") > intake.MOST
        if broken:
            entered = f"what is before record {claim.position + 1} has entered" if claim.position else "nothing entered"
            error.args = (
                f"{error}; {entered}, and the rest is not kept here: mend the cause, have its source give it once more "
                "(move a file back out of .rejected), and discard this",
            )
        admitted = self._admit(claim, 0, Record(0, raw=b"" if broken else whole, error=str(error)))
        admitted.error = without_frames(error)
        self._door.enter([admitted], self._publish())
        self._adapter.reject(claim, str(error))
        return "broken" if broken else "rejected"

    def _count_repeat(self, claim: Claim, key: str, suspect: bool) -> bool:
        """Each record of something seen before is an accepted message that ends as a duplicate; False: interrupted."""
        try:
            for batch in self._batches(claim, suspect):
                self._track([self._repeat(claim, number, admitted.message) for number, admitted in batch])
                if not self._goes_on():
                    return False
        except MessageError:
            self._track([self._repeat(claim, 0, self._admit(claim, 0, Record(0)).message)])
        self._end(lambda t: t.claims.repeated(self._endpoint.name, key, claim.id, claim.name))
        return True

    def _track(self, rows: Sequence[Hop]) -> None:
        self._commit(lambda t: t.tracking.record(rows))

    def _repeat(self, claim: Claim, number: int, first: Message) -> Hop:
        place, now = f"in:{self._endpoint.name}", self._context.clock()
        id = derive_id(claim.id, 0, place, "duplicate", number)
        message = msgspec.structs.replace(first, id=id, causation_id=first.id)
        row = self._journal.hop(message, place, Status.DUPLICATE, received_at=now, ended_at=now, detail=claim.name)
        return row.sanitised()
