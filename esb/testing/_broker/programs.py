"""Programs that a broker's scenarios run as processes of their own, in order to kill them.

``python -m esb.testing._broker.programs <program> <url> <data_dir> <queue> <target> <count>``
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence

from esb.broker import open_broker
from esb.broker.port import Consumer, Delivery, Outcome, Outgoing

Body = Callable[[Consumer, str, int], None]


class Program:
    """One of the programs, running; killed at the latest when the ``with`` ends."""

    def __init__(self, name: str, address: tuple[str, str], queue: str, target: str, count: int) -> None:
        command = [sys.executable, "-m", __name__, name, *address, queue, target, str(count)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self._process.stdout:
            self._process.stdout.close()

    def wait_for(self, word: str, patience: float) -> None:
        """Until the program has said a word; after ``patience`` seconds it is killed and the scenario fails."""
        limit = threading.Timer(patience, self._process.kill)
        limit.start()
        try:
            line = self._process.stdout.readline().strip() if self._process.stdout else ""
        finally:
            limit.cancel()
        assert line == word, f"the program said {line!r}, not {word!r}"

    def join(self, patience: float) -> None:
        """Until the program has ended by itself, within ``patience`` seconds."""
        self._process.wait(patience)

    def kill(self) -> None:
        """SIGKILL, and wait until it is dead."""
        self._process.kill()
        self._process.wait()


def hold(consumer: Consumer, target: str, count: int) -> None:
    """Take ``count`` messages and keep them."""
    _collect(consumer, count)
    print("held", flush=True)
    signal.pause()


def relay(consumer: Consumer, target: str, count: int) -> None:
    """Move messages to another queue in batches of ``count``, for ever."""
    print("running", flush=True)
    while True:
        taken = consumer.take(count, 1.0)
        if taken:
            consumer.transfer(_onward(taken, target), _settling(taken))


def die_inside_commit(consumer: Consumer, target: str, count: int) -> None:
    """Take ``count`` messages and die when they are about to be recorded."""
    consumer.transfer(_onward(_collect(consumer, count), target), lambda outcomes: os._exit(9))


def die_after_transfer(consumer: Consumer, target: str, count: int) -> None:
    """Move ``count`` messages and die before closing anything."""
    taken = _collect(consumer, count)
    consumer.transfer(_onward(taken, target), _settling(taken))
    os._exit(9)


def main(arguments: Sequence[str]) -> None:
    """Run one program."""
    name, url, data_dir, queue, target, count = arguments
    programs: Mapping[str, Body] = {
        "hold": hold,
        "relay": relay,
        "die-inside-commit": die_inside_commit,
        "die-after-transfer": die_after_transfer,
    }
    consumer = open_broker(url, data_dir).consumer([queue], 4 * int(count))
    programs[name](consumer, target, int(count))


def _collect(consumer: Consumer, count: int) -> list[Delivery]:
    taken: list[Delivery] = []
    while len(taken) < count:
        taken += consumer.take(count - len(taken), 1.0)
    return taken


def _onward(taken: Sequence[Delivery], target: str) -> list[Outgoing]:
    return [Outgoing(delivery.message, target) for delivery in taken]


def _settling(taken: Sequence[Delivery]) -> Callable[[list[Outcome]], Sequence[Delivery]]:
    return lambda outcomes: taken


if __name__ == "__main__":
    main(sys.argv[1:])
