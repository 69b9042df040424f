"""Private servers for tests: real nodes with their own ports, data and names, which a test may kill.

Each is started on loopback only, keeps everything in a temporary directory, and goes when the process that started
it goes, however that ends.
"""

from __future__ import annotations

import random
import socket
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

PATIENCE = 180.0  # seconds for a server to come up: only one that does not work takes so long
_LOWEST = 16_384  # above what usual services listen on
_CHOICE = random.SystemRandom()  # tests seed the other one, each process alike
_SPOKEN_FOR: list[socket.socket] = []  # see _speak_for


def free_port() -> int:
    """A TCP port on loopback that nothing listens on at this moment and that the system gives to nobody by itself.

    No process of this machine gets the same one from here until the one that got it ends.

    A port from the range of which outgoing connections are given theirs (RFC 6056, section 2.1) may be taken before
    the server starts, or while a test has it killed: a client that tries to come back may even be connected to itself.

    Raises ``OSError`` when none of a hundred is free.
    """
    taken: OSError | None = None
    for _ in range(100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", _CHOICE.randrange(_LOWEST, _outgoing())))
            except OSError as error:
                taken = error
                continue
            port: int = probe.getsockname()[1]
            if _speak_for(port):
                return port
    raise OSError(f"no port from {_LOWEST} up to {_outgoing()} is free: {taken}")


def _speak_for(port: int) -> bool:
    """A server starts seconds after its port was chosen; until then nothing shows on it that it is taken.

    What shows is a socket by that name, which the kernel forgets with the last process that holds it (unix(7), abstract
    sockets).
    """
    if sys.platform != "linux":
        return True
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0esb port {port}")
    except OSError:
        name.close()
        return False
    _SPOKEN_FOR.append(name)
    return True


@cache
def _outgoing() -> int:
    """The first port that the system gives to outgoing connections; where it does not tell, Linux's usual one."""
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        first = 32768
    return first if first > _LOWEST else 65536


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
