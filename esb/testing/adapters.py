"""The scenarios that every adapter must pass, whoever wrote it.

Subclass :class:`AdapterSuite` in a test module and say how to make a :class:`World`: the outside that the adapter
speaks to, seen from the other end. What the adapter's :class:`~esb.ports.Features` do not claim is skipped, with the
reason; so is what a world cannot do. The memory adapter is the reference::

    class TestMyAdapter(AdapterSuite):
        def make(self, directory: Path) -> World:
            return MyWorld(directory)
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from esb.errors import EndpointError, EsbError, Interrupted, Refused, Unreachable
from esb.ports import Adapter, Claim, Reply, Request

CANARY = "canary-5ecret-0001"
"""A secret to plant in the settings of an adapter that takes one; it must never show."""

HANG = 0.5  # seconds that a request to a hanging outside may take
GRACE = 5.0  # seconds beyond that which only a machine under load would need


def request(number: int = 1, body: bytes = b'{"n":1}', timeout: float = 30.0) -> Request:
    """A request of the operation ``deliver``; the same number is the same message."""
    return Request(
        operation="deliver",
        message_id=f"message-{number}",
        key=f"message-{number}/deliver",
        body=body,
        document={"n": number},
        content_type="application/json",
        headers={"ce-id": f"message-{number}", "ce-type": "order", "ce-source": "suite", "ce-specversion": "1.0"},
        subject=f"subject-{number}",
        timeout=timeout,
    )


class World(ABC):
    """The outside of an adapter, from the other end."""

    keys_by_content = True  # False: a source whose things have a key of their own, which is part of Claim.key

    @abstractmethod
    def adapter(self) -> Adapter:
        """A new adapter on this outside, not opened; called again, it is another process's. Its one operation is
        ``deliver``; where it has a secret, that is :data:`CANARY`."""

    def offer(self, content: bytes, name: str) -> None:
        """Put something there, complete, for the adapter to take."""
        pytest.skip("nothing can be offered to this outside")

    def waiting(self) -> list[bytes]:
        """What lies there to be taken."""
        pytest.skip("nothing can be offered to this outside")

    def rejected(self) -> list[tuple[bytes, str]]:
        """What was moved aside, with the reason."""
        pytest.skip("nothing can be offered to this outside")

    def received(self) -> list[bytes]:
        """The effects of all sends so far, each once."""
        pytest.skip("nothing can be sent to this outside")

    def break_it(self) -> None:
        """Make it unreachable."""
        pytest.skip("this outside cannot be broken on purpose")

    def mend(self) -> None:  # noqa: B027 - nothing to undo by default
        """Undo ``break_it``."""

    def hang(self) -> None:
        """From now on it takes requests and does not answer."""
        pytest.skip("this outside cannot hang on purpose")

    def refuse(self, request: Request) -> None:
        """From now on it says no to this request."""
        pytest.skip("this outside cannot refuse on purpose")

    def close(self) -> None:  # noqa: B027 - most outsides need none
        """Let everything go."""


class AdapterSuite:
    """Inherit, define :meth:`make`, and pytest finds the scenarios."""

    def make(self, directory: Path) -> World:
        """A fresh outside; ``directory`` is empty and the test's own."""
        raise AssertionError("a suite needs make()")

    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[World]:
        """One outside for one scenario."""
        world = self.make(tmp_path)
        yield world
        world.close()

    @pytest.fixture
    def adapter(self, world: World) -> Iterator[Adapter]:
        """The adapter under test, opened."""
        adapter = world.adapter()
        adapter.open()
        yield adapter
        adapter.close()

    # --- all ------------------------------------------------------------------------------------------------------

    def test_it_closes_at_any_time(self, world: World) -> None:
        """Without having been opened, and twice."""
        adapter = world.adapter()
        adapter.close()
        adapter.open()
        adapter.close()
        adapter.close()

    def test_it_opens_again_after_closing(self, world: World) -> None:
        """A reload closes and opens."""
        adapter = world.adapter()
        adapter.open()
        adapter.close()
        adapter.open()
        assert adapter.check()
        adapter.close()

    def test_check_says_whether_the_outside_is_there(self, world: World, adapter: Adapter) -> None:
        """A sentence when all is well, an endpoint error when not, and a sentence again."""
        assert adapter.check()
        world.break_it()
        with pytest.raises(EndpointError):
            adapter.check()
        world.mend()
        assert adapter.check()

    def test_no_secret_shows(self, world: World, adapter: Adapter) -> None:
        """Neither in a representation nor in any error it can be brought to raise."""
        assert CANARY not in repr(adapter) + repr(adapter.settings) + repr(adapter.operations)
        assert CANARY not in adapter.settings.model_dump_json()
        world.break_it()
        for ask in (adapter.check, lambda: adapter.send(request()), lambda: adapter.claim("me", 1)):
            try:
                ask()
            except EsbError as error:
                assert CANARY not in _everything(error)

    # --- polls ----------------------------------------------------------------------------------------------------

    def test_each_thing_is_claimed_once(self, world: World, adapter: Adapter) -> None:
        """Ten things, taken three at a time, each finished: all come, none twice, and their content is whole."""
        _needs(adapter, "polls")
        for number in range(10):
            world.offer(b"content %d" % number, f"thing-{number}.csv")
        taken = []
        while claims := adapter.claim("me", 3):
            assert len(claims) <= 3
            taken += [_content(claim) for claim in claims]
            for claim in claims:
                adapter.done(claim)
        assert sorted(taken) == sorted(b"content %d" % number for number in range(10))
        assert world.waiting() == []

    def test_a_claim_says_what_it_is(self, world: World, adapter: Adapter) -> None:
        """Equal content has an equal key (unless it has a key of its own) and another id; names and times are there."""
        _needs(adapter, "polls")
        for name, content in (("a.csv", b"same"), ("b.csv", b"same"), ("c.csv", b"other")):
            world.offer(content, name)
        claims = {claim.name: claim for claim in adapter.claim("me", 10)}
        assert (claims["a.csv"].key == claims["b.csv"].key) is world.keys_by_content
        assert claims["a.csv"].key != claims["c.csv"].key
        assert len({claim.id for claim in claims.values()}) == 3
        assert all(abs(claim.time - time.time()) < 3600 and claim.position == 0 for claim in claims.values())

    def test_an_heir_resumes_at_the_position_of_a_dead_owner(self, world: World, adapter: Adapter) -> None:
        """The owner dies after 7 records; whoever asks next gets the same claim first, at 7, before anything new."""
        _needs(adapter, "polls")
        world.offer(b"begun", "begun.csv")
        (begun,) = adapter.claim("me", 10)
        begun.advance(3)
        begun.advance(7)
        world.offer(b"new", "new.csv")
        heir = world.adapter()
        heir.open()
        (again,) = heir.claim("heir", 1)
        assert (again.id, again.key, again.position, _content(again)) == (begun.id, begun.key, 7, b"begun")
        heir.done(again)
        assert [_content(claim) for claim in heir.claim("heir", 10)] == [b"new"]
        heir.close()

    def test_done_twice_is_done(self, world: World, adapter: Adapter) -> None:
        """A crash came between the first and the second; another process may have been quicker, too."""
        _needs(adapter, "polls")
        world.offer(b"x", "x.csv")
        (claim,) = adapter.claim("me", 1)
        adapter.done(claim)
        adapter.done(claim)
        adapter.release(claim)
        assert adapter.claim("me", 1) == []
        assert world.waiting() == []

    def test_several_are_done_together(self, world: World, adapter: Adapter) -> None:
        """Nothing but these; also when one of them was done before."""
        _needs(adapter, "polls")
        for number in range(4):
            world.offer(b"content %d" % number, f"thing-{number}.csv")
        claims = adapter.claim("me", 3)
        adapter.done(claims[0])
        adapter.done_all(claims)
        assert len(world.waiting()) == 1
        (left,) = adapter.claim("me", 10)
        assert left.id not in {claim.id for claim in claims}

    def test_what_is_released_comes_again_untouched(self, world: World, adapter: Adapter) -> None:
        """It lies where it lay, and is taken from its start."""
        _needs(adapter, "polls")
        world.offer(b"x", "x.csv")
        (claim,) = adapter.claim("me", 1)
        claim.advance(5)
        adapter.release(claim)
        assert world.waiting() == [b"x"]
        (again,) = adapter.claim("me", 1)
        assert (again.name, again.position, _content(again)) == ("x.csv", 0, b"x")

    def test_what_is_rejected_is_kept_with_its_reason(self, world: World, adapter: Adapter) -> None:
        """A person finds the bytes and the sentence, and the bus does not take it again, even told that it is done."""
        _needs(adapter, "polls")
        world.offer(b"\xff\xfe", "bad.csv")
        (claim,) = adapter.claim("me", 1)
        adapter.reject(claim, "line 1: not a table")
        adapter.done(claim)
        ((content, reason),) = world.rejected()
        assert content == b"\xff\xfe"
        assert "line 1: not a table" in reason
        assert adapter.claim("me", 1) == []

    # --- sends ----------------------------------------------------------------------------------------------------

    def test_what_is_sent_arrives_as_it_is(self, world: World, adapter: Adapter) -> None:
        """Byte for byte, and the reply says so in a short word."""
        _needs(adapter, "sends")
        body = bytes(range(256)) * 64
        assert 0 < len(adapter.send(request(body=body)).detail) < 200
        assert world.received() == [body]

    def test_many_threads_send_at_once(self, world: World, adapter: Adapter) -> None:
        """Eight threads send 80 messages: each arrives, once and whole."""
        _needs(adapter, "sends")
        bodies = [b"message %d " % number * 50 for number in range(80)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: adapter.send(request(n, bodies[n])), range(80)))
        assert sorted(world.received()) == sorted(bodies)

    def test_the_same_key_twice_has_one_effect(self, world: World, adapter: Adapter) -> None:
        """A retry, a restart, or the copy of a message: the other side can tell, and the sender is told success."""
        _needs(adapter, "sends")
        _needs(adapter, "keyed")
        for _ in range(3):
            adapter.send(request())
        assert len(world.received()) == 1

    def test_nothing_can_have_happened_where_nothing_was_reached(self, world: World, adapter: Adapter) -> None:
        """``Unreachable``, no effect; and it works again as soon as the outside does, without being opened anew."""
        _needs(adapter, "sends")
        adapter.send(request(1, b"before"))
        world.break_it()
        with pytest.raises(Unreachable):
            adapter.send(request(2, b"lost"))
        world.mend()
        adapter.send(request(3, b"after"))
        assert b"lost" not in world.received()
        assert b"after" in world.received()

    def test_a_hanging_outside_ends_in_time(self, world: World, adapter: Adapter) -> None:
        """The request went out and nothing comes back: the effect is unknown, and the wait has an end."""
        _needs(adapter, "sends")
        world.hang()
        began = time.monotonic()
        with pytest.raises(Interrupted):
            adapter.send(request(timeout=HANG))
        assert time.monotonic() - began < HANG + GRACE

    def test_a_refusal_is_the_messages_fault(self, world: World, adapter: Adapter) -> None:
        """``Refused`` and nothing else: it will not be retried, and others still pass."""
        _needs(adapter, "sends")
        world.refuse(request(1))
        with pytest.raises(Refused):
            adapter.send(request(1))

    def test_a_batch_arrives_whole(self, world: World, adapter: Adapter) -> None:
        """Twenty at once, each with its own outcome; sent again, as after a crash, they are recognised."""
        _needs(adapter, "batches")
        bodies = [b"message %d " % number * 50 for number in range(20)]
        batch = [request(number, body) for number, body in enumerate(bodies)]
        for _ in range(2 if adapter.features.keyed else 1):
            outcomes = adapter.send_all(batch)
            assert [isinstance(outcome, Reply) for outcome in outcomes] == [True] * 20
        assert sorted(world.received()) == sorted(bodies)

    def test_what_is_refused_in_a_batch_is_the_only_one(self, world: World, adapter: Adapter) -> None:
        """Those before and behind it arrive, and each outcome stands at its place."""
        _needs(adapter, "batches")
        world.refuse(request(3))
        outcomes = adapter.send_all([request(number, b"message %d" % number) for number in range(8)])
        refused = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, Refused)]
        assert refused == [3]
        received = set(world.received())
        assert {b"message %d" % number for number in range(8) if number != 3} <= received
        assert b"message 3" not in received

    def test_of_a_batch_nothing_happens_where_nothing_is_reached(self, world: World, adapter: Adapter) -> None:
        """Said of all at once, or of each; when it is back, the same batch arrives."""
        _needs(adapter, "batches")
        batch = [request(number, b"message %d" % number) for number in range(5)]
        world.break_it()
        try:
            outcomes: Sequence[object] = adapter.send_all(batch)
        except Unreachable as error:
            outcomes = [error] * 5
        assert [type(outcome) for outcome in outcomes] == [Unreachable] * 5
        world.mend()
        adapter.send_all(batch)
        assert sorted(world.received()) == sorted(one.body for one in batch)

    def test_it_can_tell_whether_a_send_took_place(self, world: World, adapter: Adapter) -> None:
        """Of this message and no other; asking has no effect, and needs the other side."""
        _needs(adapter, "probes")
        adapter.send(request(1))
        assert adapter.took_place(request(1)) is not None
        assert adapter.took_place(request(2)) is None
        assert len(world.received()) == 1
        world.break_it()
        with pytest.raises(EndpointError):
            adapter.took_place(request(1))

    # --- serves ---------------------------------------------------------------------------------------------------

    def test_it_says_where_it_listens(self, adapter: Adapter) -> None:
        """An absolute path, and at least one method."""
        _needs(adapter, "serves")
        path, methods = adapter.path()
        assert path.startswith("/")
        assert methods


def _needs(adapter: Adapter, feature: str) -> None:
    if not getattr(adapter.features, feature):
        pytest.skip(f"the {adapter.kind} adapter does not claim {feature}")


def _content(claim: Claim) -> bytes:
    with claim.open() as stream:
        return stream.read()


def _everything(error: BaseException) -> str:
    """The texts of an error and of all that it was raised from."""
    texts = []
    cause: BaseException | None = error
    while cause is not None:
        texts.append(repr(cause) + str(cause))
        cause = cause.__cause__ or cause.__context__
    return " ".join(texts)
