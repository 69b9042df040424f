"""Alone in the process: while one worker runs a message that is under suspicion, all the others rest.

A lock for many sharers and one owner. The owner's claim keeps new sharers out, so it comes to its turn however much
there is to do. By hand, since the standard library has no such lock.
"""

from __future__ import annotations

import threading


class Solitude:
    """One for a process. ``who`` is any object that stands for a worker."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._working: set[object] = set()
        self._alone: object | None = None

    def join(self, who: object, patience: float = 0.0) -> bool:
        """Work beside the others; False when somebody was, or wanted to be, alone for ``patience`` seconds.

        Whoever waits does not count as working, here and below, or two who wait would wait for each other.
        """
        with self._changed:
            if patience and self._alone not in (None, who):
                self._rest(who)
            welcome = self._changed.wait_for(lambda: self._alone in (None, who), patience)
            if welcome:
                self._working.add(who)
            return welcome

    def leave(self, who: object) -> None:
        """Nothing is under way here."""
        with self._changed:
            self._rest(who)

    def claim(self, who: object, patience: float) -> bool:
        """Be the only one who works, until :meth:`release`.

        False when others still worked after ``patience`` seconds; then call again.
        """
        with self._changed:
            self._rest(who)
            if not self._changed.wait_for(lambda: self._alone in (None, who), patience):
                return False
            self._alone = who
            if not self._changed.wait_for(lambda: not self._working, patience):
                return False
            self._working.add(who)
            return True

    def release(self, who: object) -> None:
        """Let the others work again."""
        with self._changed:
            if self._alone is who:
                self._alone = None
                self._changed.notify_all()

    def _rest(self, who: object) -> None:
        self._working.discard(who)
        self._changed.notify_all()
