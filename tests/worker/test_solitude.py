"""Many side by side, or one alone: who waits never holds up who is waited for."""

from __future__ import annotations

import threading

from esb.worker.solitude import Solitude


def test_they_work_side_by_side() -> None:
    """Until one of them is alone, and again behind it."""
    solitude = Solitude()
    assert solitude.join("a")
    assert solitude.join("b")
    solitude.leave("b")
    solitude.leave("a")
    assert solitude.claim("c", 0.0)
    assert not solitude.join("a")
    solitude.release("c")
    assert solitude.join("a")


def test_a_claim_keeps_others_out_while_it_waits() -> None:
    """Who works may end what it does; what is new waits, or the claim would wait for ever."""
    solitude = Solitude()
    solitude.join("busy")
    assert not solitude.claim("suspect", 0.0)
    assert not solitude.join("busy")
    assert not solitude.join("other")
    solitude.leave("busy")
    assert solitude.claim("suspect", 0.0)


def test_two_who_wait_do_not_wait_for_each_other() -> None:
    """Both worked before; the one gets its turn, then the other."""
    solitude = Solitude()
    turns: list[str] = []

    def run(name: str) -> None:
        solitude.join(name)
        both.wait(5)
        while not solitude.claim(name, 0.05):
            pass
        turns.append(name)
        solitude.release(name)
        solitude.leave(name)

    both = threading.Barrier(2)
    threads = [threading.Thread(target=run, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert sorted(turns) == ["a", "b"]


def test_who_waits_to_join_is_not_waited_for() -> None:
    """A worker that has worked, and waits to go on, holds up no claim."""
    solitude = Solitude()
    solitude.join("flows")
    assert not solitude.claim("suspect", 0.0)
    joined: list[bool] = []
    waiting = threading.Thread(target=lambda: joined.append(solitude.join("flows", 5.0)))
    waiting.start()
    assert solitude.claim("suspect", 5.0)
    assert joined == []
    solitude.release("suspect")
    waiting.join(5)
    assert joined == [True]


def test_only_the_owner_releases() -> None:
    """Everybody says at the end of a message that it is through."""
    solitude = Solitude()
    solitude.claim("suspect", 0.0)
    solitude.release("other")
    assert not solitude.join("other")
