"""The demo without the bus: lays out the bus directory, starts the stand-in systems, drops tickets, compares ledgers.

Whoever runs the bus does, in this order::

    with start_systems(Path(".demo")) as systems:
        ...                                        # run the bus on .demo, with systems.env in its environment
        expected = drop_tickets(Path(".demo"))
        ...                                        # wait until the bus has settled, read its ledger
        differences = compare(ledger, systems.recorded(), expected)
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import selectors
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from esb.errors import EsbError
from esb.examples.retail.systems import search, warehouse
from esb.examples.retail.systems.tills import Expected

if TYPE_CHECKING:
    from esb.store import Ledger

BUS = ("esb.yaml", "README.md", "endpoints", "flows", "mappings", "contracts", "lookups", "samples")
PORTS = {"warehouse": 8101, "search": 8102}  # those that the endpoints' files fall back to
MARKER = ".esb-demo"
PATIENCE = 30.0  # seconds for a stand-in to start, or to stop
_SYSTEMS = "esb.examples.retail.systems"


class DemoError(EsbError):
    """The demo cannot start: its directory is in use or somebody else's, or a stand-in does not come up."""

    kind = "demo"


@dataclass(frozen=True)
class Recorded:
    """What the systems saw.

    Attributes:
        warehouse: operation -> order number -> ``{"effects": …, "repeats": …}``.
        search: order number -> how often it was put.
        archive: order number -> files that hold it.
    """

    warehouse: Mapping[str, Mapping[str, Mapping[str, int]]]
    search: Mapping[str, int]
    archive: Mapping[str, int]

    @property
    def repeats(self) -> int:
        """Requests that the warehouse recognised by their key as repeats, and did not carry out again."""
        return sum(order["repeats"] for orders in self.warehouse.values() for order in orders.values())


class Systems:
    """The running stand-ins. A context manager; should this process die instead, they stop by themselves.

    Attributes:
        workdir: the bus directory.
        urls: name -> where it listens.
        env: what the bus needs in its environment to reach them.
    """

    def __init__(self, workdir: Path, urls: Mapping[str, str], cleanup: ExitStack) -> None:
        self.workdir = workdir
        self.urls = urls
        self.env = {f"{name.upper()}_URL": url for name, url in urls.items()}
        self._cleanup = cleanup

    def __enter__(self) -> Systems:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop all of them and give the directory free; may be called again."""
        self._cleanup.close()

    def recorded(self) -> Recorded:
        """What they saw up to now, or up to their end."""
        return Recorded(
            warehouse=warehouse.recorded(_record(self.workdir, "warehouse")),
            search=search.recorded(_record(self.workdir, "search")),
            archive=_archived(self.workdir / "archive"),
        )


def start_systems(
    workdir: Path, *, down_after: int = 100, down_for: float = 3.0, ports: Mapping[str, int] = PORTS
) -> Systems:
    """Lay out a fresh copy of the bus in ``workdir`` and start the warehouse and the search service beside it.

    Args:
        workdir: empty, missing, or left over from an earlier demo (then it is cleared).
        down_after: the warehouse goes down with this booking, whose answer is lost; 0: never.
        down_for: seconds until it is back.
        ports: wished for; one that is taken, or 0, becomes any free one.

    Raises:
        DemoError: the directory holds something else, a demo runs in it, or a stand-in does not come up.
    """
    with ExitStack() as cleanup:
        cleanup.callback(_lay_out(workdir).close)
        token = _write_token(workdir / "secrets" / "warehouse-token")
        outage = (f"--down-after={down_after}", f"--down-for={down_for}")
        urls = {
            "warehouse": _start(workdir, "warehouse", ports, cleanup, outage, {"WAREHOUSE_TOKEN": token}),
            "search": _start(workdir, "search", ports, cleanup),
        }
        return Systems(workdir, urls, cleanup.pop_all())


def drop_tickets(workdir: Path, tickets: int = 300, seed: int = 1) -> Expected:
    """Let the tills drop their files into the bus's inbox; what must become of them.

    Raises:
        DemoError: the tills failed; the text is theirs.
    """
    command = [sys.executable, "-m", f"{_SYSTEMS}.tills", str(workdir / "inbox" / "pos")]
    command += [f"--tickets={tickets}", f"--seed={seed}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    if ended.returncode:
        raise DemoError(f"The tills could not drop their files into {workdir}: {ended.stderr.strip()}")
    return Expected(**json.loads(ended.stdout))


def compare(ledger: Ledger, recorded: Recorded, expected: Expected) -> list[str]:
    """Every difference between what the bus says, what the systems saw, and what must be; empty: they agree."""
    return [*_compare_ledger(ledger, expected), *_compare_systems(recorded, expected)]


def _compare_ledger(ledger: Ledger, expected: Expected) -> list[str]:
    orders = len(expected.orders)
    counts = {
        "accepted": expected.accepted,
        "completed": expected.completed,
        "filtered": expected.filtered,
        "parked": sum(expected.parked.values()),
        "duplicate": expected.duplicate,
        "unsubscribed": 0,
        "published": orders,
        "sent": 3 * orders,  # to the warehouse, the search service and the archive
        "done": 3 * orders,
        "in_doubt": 0,
    }
    pairs = [(f"ledger: {name}", wanted, getattr(ledger, name)) for name, wanted in counts.items()]
    parked: Counter[str] = Counter()
    for kind, _, count in ledger.parked_by:
        parked[kind] += count
    kinds = sorted({*parked, *expected.parked})
    pairs += [(f"ledger: parked as {kind}", expected.parked.get(kind, 0), parked[kind]) for kind in kinds]
    return [f"{what}: {wanted} expected, {found} found" for what, wanted, found in pairs if wanted != found]


def _compare_systems(recorded: Recorded, expected: Expected) -> list[str]:
    effects = {
        operation: {order: seen["effects"] for order, seen in orders.items()}
        for operation, orders in recorded.warehouse.items()
    }
    return [
        *_compare_effects("warehouse.order", effects.get("order", {}), expected.ship),
        *_compare_effects("warehouse.collect", effects.get("collect", {}), expected.collect),
        *_compare_effects("search.index", dict.fromkeys(recorded.search, 1), expected.orders),
        *_compare_effects("archive.keep", recorded.archive, expected.orders),
    ]


def _compare_effects(place: str, effects: Mapping[str, int], orders: Iterable[str]) -> list[str]:
    wanted = set(orders)
    found = [f"{place}: {order} is missing" for order in sorted(wanted - set(effects))]
    found += [f"{place}: {order} should not be there" for order in sorted(set(effects) - wanted)]
    return found + [f"{place}: {order} took effect {n} times" for order, n in sorted(effects.items()) if n > 1]


def _lay_out(workdir: Path) -> IO[str]:
    """A fresh copy of the bus; the returned file is locked as long as it is open, so that no other demo clears it."""
    workdir.mkdir(parents=True, exist_ok=True)
    marker = workdir / MARKER
    if not marker.exists() and any(workdir.iterdir()):
        raise DemoError(f"{workdir} is not empty and not from a demo: choose another directory, or empty it.")
    lock = marker.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise DemoError(f"A demo runs in {workdir} already: stop it first, or choose another directory.") from error
    _clear(workdir)
    for name in BUS:
        source = Path(__file__).parent / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, workdir / name)
    return lock


def _clear(workdir: Path) -> None:
    for path in workdir.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARKER:
            path.unlink()


def _write_token(path: Path) -> str:
    path.parent.mkdir(mode=0o700)
    token = secrets.token_urlsafe(16)
    path.write_text(token + "\n", encoding="ascii")
    return token


def _record(workdir: Path, name: str) -> Path:
    return workdir / "systems" / f"{name}.db"


def _archived(directory: Path) -> dict[str, int]:
    names = [path for path in directory.glob("*.json") if not path.name.startswith(".")]
    return dict(Counter(str(json.loads(path.read_bytes())["orderId"]) for path in names))


def _start(
    workdir: Path,
    name: str,
    ports: Mapping[str, int],
    cleanup: ExitStack,
    options: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
) -> str:
    record = _record(workdir, name)
    record.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", f"{_SYSTEMS}.{name}", f"--record={record}", "--with-parent"]
    command += [f"--port={_free(ports.get(name, 0))}", *options]
    with record.with_suffix(".log").open("wb") as log:
        # A session of its own: Ctrl-C reaches the bus alone, which then still finds its systems while it drains.
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    cleanup.callback(_stop, process)
    return _await_ready(process, record.with_suffix(".log"))


def _free(port: int) -> int:
    """The port, or 0 when somebody else has it."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def _await_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if selector.select(PATIENCE) else b""
    try:
        ready: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise DemoError(f"A stand-in did not come up; {log} has what it said.") from error
    return str(ready["ready"])


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()  # with --with-parent that is the word to stop
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
