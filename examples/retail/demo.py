"""The demo without the bus: lays out the bus directory, starts the stand-in systems, lets them work.

Whoever runs the bus does, in this order::

    with start_systems(Path(".demo")) as systems:
        ...                                        # run the bus on .demo, with systems.env in its environment
        expected = systems.work()
        ...                                        # wait until the bus has settled, read its ledger
        differences = compare(ledger, systems.recorded(), expected)
"""

from __future__ import annotations

import csv
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
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from esb.errors import EsbError
from esb.examples.retail.compare import Expected, Movement, Recorded
from esb.examples.retail.systems import books, documents, erp, finance, shoppers, tills

BUS = ("esb.yaml", "README.md", "endpoints", "flows", "sagas", "mappings", "contracts", "lookups", "samples")
PORTS = {  # those that the files fall back to
    "warehouse": 8101,
    "search": 8102,
    "payments": 8103,
    "courier": 8104,
    "webshop": 8105,
    "ingress": 8480,
    "admin": 8481,
}
ANY_PORT = dict.fromkeys(PORTS, 0)
OURS = ("ingress", "admin")  # where the bus itself listens
TROUBLES = {
    "warehouse": ("--down-after=100", "--down-for=3"),  # the order is booked, its answer lost, and then the power gone
    "payments": ("--hold=2", "--busy-every=9", "--lost-every=13"),
    "courier": ("--busy-every=12", "--lost-every=17"),
}
TOKENS = ("warehouse", "payments", "webshop")
MARKER = ".esb-demo"
PATIENCE = 30.0  # seconds for a stand-in to start, or to stop
_SYSTEMS = "esb.examples.retail.systems"


class DemoError(EsbError):
    """The demo cannot start: its directory is in use or somebody else's, or a stand-in does not come up."""

    kind = "demo"


class Systems:
    """The running stand-ins. A context manager; should this process die instead, they stop by themselves.

    Attributes:
        workdir: the bus directory.
        urls: name -> where it listens; ``ingress`` and ``admin`` are the bus's own doors.
        env: what the bus needs in its environment to reach them.
    """

    def __init__(self, workdir: Path, urls: Mapping[str, str], cleanup: ExitStack) -> None:
        self.workdir = workdir
        self.urls = urls
        self.env = {f"{name.upper()}_URL": url for name, url in urls.items() if name not in OURS}
        self.env |= {"INGRESS_PORT": _port(urls["ingress"]), "ESB_ADMIN_PORT": _port(urls["admin"])}
        self._cleanup = cleanup
        self._shoppers: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Systems:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop all of them and give the directory free; may be called again."""
        self._cleanup.close()

    def work(self, tickets: int = 300, orders: int = 100, seed: int = 1) -> Expected:
        """Let tills and ERP drop their files and the shoppers order; what must become of it all.

        Raises:
            DemoError: a program failed; the text is its own.
        """
        sold = tills.Expected(**_run("tills", self.workdir / "inbox/pos", f"--tickets={tickets}", f"--seed={seed}"))
        counted = erp.Expected(**_run("erp", self.workdir / "inbox/erp", f"--seed={seed}"))
        _, ordered = shoppers.plan(orders, seed)
        self._shoppers = self._let_shop(orders, seed)
        return Expected(sold, counted, ordered)

    @property
    def working(self) -> bool:
        """Whether the shoppers still have orders that were not answered."""
        return self._shoppers is not None and self._shoppers.poll() is None

    def recorded(self) -> Recorded:
        """What they saw up to now, or up to their end."""
        stock = {name: documents.recorded(_record(self.workdir, name), "/stock/") for name in ("search", "webshop")}
        systems = {name: books.recorded(_record(self.workdir, name)) for name in ("warehouse", "payments", "courier")}
        status = documents.recorded(_record(self.workdir, "webshop"), "/status/")
        return Recorded(
            **systems,
            status={order: one["status"] for order, one in status.items()},
            search=sorted(documents.recorded(_record(self.workdir, "search"), "/orders/")),
            stock={name: {place: one["pieces"] for place, one in found.items()} for name, found in stock.items()},
            archive=_archived(self.workdir / "archive"),
            finance=finance.recorded(_record(self.workdir, "finance")),
            movements=_movements(_record(self.workdir, "payments")),
            reports=[_report(path) for path in sorted((self.workdir / "reports").glob("[!.]*.csv"))],
            answers=_json(self.workdir / "systems" / "shoppers.json") or {},
        )

    def _let_shop(self, orders: int, seed: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"{_SYSTEMS}.shoppers", f"{self.urls['ingress']}/shop/orders"]
        command += [f"--orders={orders}", f"--seed={seed}"]
        token = _token(self.workdir, "webshop").read_text().strip()
        with (self.workdir / "systems" / "shoppers.json").open("wb") as said:
            process = subprocess.Popen(command, stdout=said, env={**os.environ, "WEBSHOP_TOKEN": token})
        self._cleanup.callback(_end, process)
        return process


def start_systems(workdir: Path, *, troubles: bool = True, ports: Mapping[str, int] = PORTS) -> Systems:
    """Lay out a fresh copy of the bus in ``workdir`` and start the systems beside it.

    Args:
        workdir: empty, missing, or left over from an earlier demo (then it is cleared).
        troubles: let them fail as :data:`TROUBLES` says.
        ports: wished for; one that is taken, or 0, becomes any free one.

    Raises:
        DemoError: the directory holds something else, a demo runs in it, a stand-in does not come up, or a library
            is missing.
    """
    missing = [name for name in ("lxml", "cryptography") if not find_spec(name)]
    if missing:
        raise DemoError(
            "The warehouse of this example speaks XML, and what is masked is encrypted. This needs "
            f"{' and '.join(missing)}: pip install 'esb[encryption,xml]'"
        )
    options = TROUBLES if troubles else {}
    with ExitStack() as cleanup:
        cleanup.callback(lay_out(workdir).close)
        finance.create(_record(workdir, "finance"))
        tokens = {f"{name.upper()}_TOKEN": _token(workdir, name).read_text().strip() for name in TOKENS}
        names = [name for name in PORTS if name not in OURS]
        started = [_start(workdir, name, ports, cleanup, options.get(name, ()), tokens) for name in names]
        urls = {name: _await_ready(process, workdir, name) for name, process in zip(names, started, strict=True)}
        urls |= {name: f"http://127.0.0.1:{_free(ports.get(name, 0)) or _any_port()}" for name in OURS}
        return Systems(workdir, urls, cleanup.pop_all())


def _run(program: str, *arguments: object) -> Any:
    """What a program printed, which ends by itself."""
    command = [sys.executable, "-m", f"{_SYSTEMS}.{program}", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    if ended.returncode:
        raise DemoError(f"The {program} could not do their work: {ended.stderr.strip()}")
    return json.loads(ended.stdout)


def lay_out(workdir: Path) -> IO[str]:
    """A fresh copy of the bus, with secrets; the returned file is locked as long as it is open.

    So no other demo clears the directory meanwhile.

    Raises:
        DemoError: the directory holds something else, or a demo runs in it.
    """
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
    for path in (*(_token(workdir, name) for name in TOKENS), workdir / "secrets" / "store-key"):
        _write_token(path)
    return lock


def _clear(workdir: Path) -> None:
    for path in workdir.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARKER:
            path.unlink()


def _token(workdir: Path, name: str) -> Path:
    return workdir / "secrets" / f"{name}-token"


def _write_token(path: Path) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(secrets.token_urlsafe(16) + "\n", encoding="ascii")


def _record(workdir: Path, name: str) -> Path:
    return workdir / "systems" / f"{name}.db"


def _archived(directory: Path) -> dict[str, int]:
    names = [path for path in directory.glob("*.json") if not path.name.startswith(".")]
    return dict(Counter(str(json.loads(path.read_bytes())["orderId"]) for path in names))


def _movements(payments: Path) -> list[Movement]:
    kinds = ("charge", "refund")
    return [(one["orderId"], kind, one["amount"]) for kind in kinds for one in books.answers(payments, kind)]


def _report(path: Path) -> list[Movement]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter=";")
        return [(row["order"], row["movement"], float(row["amount"].replace(",", "."))) for row in rows]


def _json(path: Path) -> Any:
    """What a program printed, None while it has not."""
    text = path.read_bytes() if path.exists() else b""
    return json.loads(text) if text else None


def _start(
    workdir: Path,
    name: str,
    ports: Mapping[str, int],
    cleanup: ExitStack,
    options: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
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
    return process


def _free(port: int) -> int:
    """The port, or 0 when somebody else has it."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def _port(url: str) -> str:
    return url.rpartition(":")[2]


def _any_port() -> int:
    """One that is free now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_ready(process: subprocess.Popen[bytes], workdir: Path, name: str) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if selector.select(PATIENCE) else b""
    try:
        ready: dict[str, Any] = json.loads(line)
    except ValueError as error:
        log = _record(workdir, name).with_suffix(".log")
        raise DemoError(f"A stand-in did not come up; {log} has what it said.") from error
    return str(ready["ready"])


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()  # with --with-parent that is the word to stop
    _end(process, PATIENCE)
    process.stdout.close()


def _end(process: subprocess.Popen[bytes], patience: float = 0.0) -> None:
    """Until it has ended; killed when it does not end by itself."""
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
