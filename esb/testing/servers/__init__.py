"""Private servers for tests: real nodes with their own ports, data and names, which a test may kill.

Each is started on loopback only, keeps everything in a temporary directory, and goes when the process that started
it goes, however that ends.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

PATIENCE = 180.0  # seconds for a server to come up: only one that does not work takes so long


def free_port() -> int:
    """A TCP port on loopback that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], object], timeout: float, what: str) -> None:
    """Look at ``condition`` every 20 ms until it is true.

    Args:
        timeout: seconds to wait.
        what: what is waited for; the text of the ``TimeoutError``.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(0.02)
