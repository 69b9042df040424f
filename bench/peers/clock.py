"""What the peers in Python share: the arguments, and a clock that starts behind the first messages."""

from __future__ import annotations

import json
import sys
import time


class Clock:
    """Counts what is finished, and says how long it took."""

    def __init__(self, total: int, warm: int) -> None:
        """Args: how many there are; behind how many the time begins."""
        self.total, self.warm, self.done = total, warm, 0
        self.began = self.used = 0.0

    def tick(self) -> bool:
        """One more; True with the last."""
        self.done += 1
        if self.done == self.warm:
            self.began, self.used = time.monotonic(), time.process_time()
        return self.done == self.total

    def report(self) -> None:
        """One JSON object on standard output."""
        result = {
            "began": self.began, "ended": time.monotonic(), "cpu": time.process_time() - self.used,
            "messages": self.total - self.warm,
        }  # fmt: skip
        print(json.dumps(result), flush=True)


def arguments() -> tuple[str, str, str, Clock]:
    """``PEER URL QUEUE-IN QUEUE-OUT MESSAGES WARM``."""
    url, source, target, total, warm = sys.argv[1:6]
    return url, source, target, Clock(int(total), int(warm))
