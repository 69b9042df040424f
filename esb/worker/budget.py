"""The retry budget of an endpoint: which share of the calls to it may be immediate retries.

A system that fails because too much is asked of it must not be asked thrice for that. After Google's *Site Reliability
Engineering*, chapter 21 ("Handling Overload": a retry budget per client), in the form of Finagle's ``RetryBudget``: a
share of the calls in a sliding window, and a few more, so that a quiet endpoint has its retries too.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

SLICES = 10  # of a window; what is older than the window goes a slice at a time


class Policy(Protocol):
    """``recovery.budget`` of an endpoint."""

    @property
    def share(self) -> float: ...
    @property
    def least(self) -> int: ...
    @property
    def window(self) -> float: ...


class _Slice(msgspec.Struct):
    number: int
    calls: int = 0
    retries: int = 0


class RetryBudget:
    """What one process may spend on one endpoint. The threads of the endpoint's pool share it."""

    def __init__(self, policy: Policy, clock: Callable[[], float]) -> None:
        """Args: the endpoint's policy, and what tells the time in seconds."""
        self._policy = policy
        self._clock = clock
        self._length = max(policy.window / SLICES, 0.001)
        self._slices: deque[_Slice] = deque()
        self._lock = threading.Lock()

    def called(self) -> None:
        """A message is tried for the first time in its delivery."""
        with self._lock:
            self._current().calls += 1

    def spend(self) -> bool:
        """Take one retry out of the budget; False when none is left."""
        with self._lock:
            current = self._current()
            calls = sum(slice.calls for slice in self._slices)
            spent = sum(slice.retries for slice in self._slices)
            if spent + 1 > calls * self._policy.share + self._policy.least:
                return False
            current.retries += 1
            return True

    def _current(self) -> _Slice:
        number = int(self._clock() / self._length)
        while self._slices and not number - SLICES < self._slices[0].number <= number:
            self._slices.popleft()  # too old, or of a clock that was set back
        if not self._slices or self._slices[-1].number != number:
            self._slices.append(_Slice(number))
        return self._slices[-1]
