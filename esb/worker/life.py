"""The life of a process that runs workers: wait for broker and store, settle down, stop all together."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable, Iterable

from esb.errors import BrokerDown, LoginRefused, StoreDown
from esb.wake import Stop
from esb.worker.thread import LONGEST_PAUSE, SHORTEST_PAUSE, Worker, log

COLLECT = 60.0  # seconds between two looks for cycles
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGE = 128 * 1024  # bytes; a body of several frames comes in pieces of this size, AMQP's usual frame_max


def quieten_collector() -> None:
    """Let the garbage collector look seldom, and not at what is loaded: its looking cost a fifth of a hop.

    Messages are freed by counting references; cycles are rare, and wait for :class:`Collector`. What loading left
    behind goes now, on the thread that made it: expressions must not be dropped on another.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


class Collector(Worker):
    """Looks for cycles once a minute, whatever was allocated: connections that broke lie in them, with their buffers.

    A quiet process would keep what twenty outages left behind for hours.
    """

    def __init__(self) -> None:
        super().__init__("collector")

    def cycle(self) -> None:
        if not self.stopping.wait(COLLECT):
            gc.collect()


def return_memory() -> None:
    """Let the C library give large blocks back to the system as soon as they are free. glibc only.

    Left alone it learns from the largest message there ever was, and keeps some of that size on every thread.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_M_TRIM_THRESHOLD, 4 * 1024**2)


def persist(act: Callable[[], object], stopped: Stop) -> bool:
    """Do what needs broker or store, again and again while one of them is down; False when told to stop meanwhile."""
    pause = SHORTEST_PAUSE
    while not stopped():
        try:
            act()
        except (BrokerDown, StoreDown) as error:
            if isinstance(error, LoginRefused):
                raise
            log.warning("waiting for broker and store", kind=error.kind, error=str(error), again_in=pause)
            stopped.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        else:
            return True
    return False


def shut_down(workers: Iterable[Worker], limit: float) -> None:
    """Stop workers together; they drain side by side. At most ``limit`` seconds."""
    workers = list(workers)
    deadline = time.monotonic() + limit
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.join(max(deadline - time.monotonic(), 0.1))
