"""What benchmarks over HTTP share: a system to call, orders to send, and roles of the bus that serve or deliver."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import msgspec

from bench.crew import Place
from bench.process import CannotRun, Child
from esb.testing.servers import free_port

START = 60.0  # seconds that a program may take to start
SLOWEST = 50.0  # messages a second; whoever is slower is given up


class Report(msgspec.Struct, frozen=True):
    """When calls arrived at the system: all of them, those of each path and order; how many keys there were, and how
    many calls were left hanging."""

    arrivals: list[float]
    came: dict[str, float]
    keys: int
    hung: int = 0


def load(url: str, messages: int, connections: int, rate: float = 0.0) -> tuple[list[float], list[float]]:
    """When each request began, and when it was answered."""
    command = [sys.executable, "-m", "bench.load", url, str(messages), str(connections), str(rate)]
    with Child(command) as child:
        said = msgspec.json.decode(child.line(START + messages / SLOWEST))
    return said["began"], said["ended"]


def percentile(times: Sequence[float], share: float) -> float:
    """Milliseconds within which so many in a hundred of sorted seconds lie."""
    return times[min(int(len(times) * share / 100), len(times) - 1)] * 1000


@contextmanager
def system(hanging: str = "", seconds: float = 0.0) -> Iterator[tuple[Child, str]]:
    """What is called: the process and its address. Args: of the paths that hang, how they begin, and for how long."""
    port = free_port()
    with Child([sys.executable, "-m", "bench.system", str(port), hanging, str(seconds)]) as child:
        child.line(START)
        yield child, f"http://127.0.0.1:{port}"


def arrived(outside: Child, calls: int, sender: Child) -> Report:
    """What the system says, once so many calls have come."""
    deadline = time.monotonic() + START + calls / SLOWEST
    while True:
        outside.say("count")
        count = int(outside.line(START))
        if count >= calls:
            outside.say("report")
            return msgspec.json.decode(outside.line(START), type=Report)
        sender.latest()  # raises when it has died
        if time.monotonic() > deadline:
            raise CannotRun(f"{count} of {calls} calls arrived in time")
        time.sleep(0.05)


@contextmanager
def role(name: str, root: Path, place: Place, **variables: str) -> Iterator[tuple[Child, str]]:
    """A role of the bus in a process of its own; for the web role also its address."""
    port = free_port()
    environment = place.environment() | {"BENCH_PORT": str(port)} | variables
    with Child([sys.executable, "-m", "esb.cli", "run", "--role", name, root], environment) as child:
        url = f"http://127.0.0.1:{port}"
        if name == "web":
            await_port(child, f"{url}/readyz")
        yield child, url


def await_port(child: Child, url: str) -> None:
    """Until a server answers."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        child.latest()  # raises when it has died
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.05)
    raise CannotRun(f"{child.name} did not answer at {url}")
