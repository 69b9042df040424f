"""Waiting, and what ends it."""

from __future__ import annotations

import os
import signal
import threading

from esb.wake import Stop, Wake


def test_a_wake_before_the_wait_ends_it() -> None:
    """And only one: the next wait is its own."""
    wake = Wake()
    wake.set()
    wake.wait(None)
    assert wake.clear()
    assert not wake.clear()


def test_something_else_that_can_be_read_ends_the_wait() -> None:
    """A pipe that speaks; nobody has set the wake."""
    wake, (ear, mouth) = Wake(), os.pipe()
    os.write(mouth, b"!")
    wake.wait(None, [ear])
    assert not wake.clear()
    os.close(ear)
    os.close(mouth)


def test_a_thread_that_tells_ends_the_wait() -> None:
    """However long it was to be."""
    stop = Stop()
    threading.Timer(0.01, stop.set).start()
    assert stop.wait()
    assert stop()


def test_a_wait_ends_with_its_time() -> None:
    """Nobody has told it."""
    assert not Stop().wait(0.01)


def test_a_signal_that_another_thread_was_given_is_heard() -> None:
    """Only the main thread runs handlers, and it sleeps."""
    before = signal.getsignal(signal.SIGUSR1)
    stop = Stop(signal.SIGUSR1)
    go = threading.Event()

    def other() -> None:
        go.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    thread = threading.Thread(target=other)
    thread.start()
    threading.Timer(0.05, go.set).start()
    try:
        assert stop.wait(20)
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
