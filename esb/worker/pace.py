"""How many messages a worker takes at a time: as many as it gets through in about half a second.

Pausing, stopping and purging wait for the batch that is under way. Where mappings are slow or bodies large, a batch of
the usual number would take minutes. One look at the clock a batch tells, none a message.
"""

from __future__ import annotations

MOMENT = 0.5  # seconds that a batch may take
_FIRST = 16  # messages, as long as nothing is known of them


class Pace:
    """Of one worker. It learns of slow messages at once, and doubles from batch to batch while they are quick."""

    def __init__(self, most: int) -> None:
        """``most``: messages, however quick they are."""
        self._most = most
        self.batch = min(most, _FIRST)  # messages to take next

    def took(self, messages: int, seconds: float) -> None:
        """A batch is through; ``messages`` is more than 0."""
        fitting = int(MOMENT * messages / seconds) if seconds > 0 else self._most
        self.batch = max(1, min(fitting, 2 * self.batch, self._most))
