"""What can be read off a bus that runs: memory, descriptors and threads of its processes, rows, queues, connections."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from esb.broker import open_broker
from esb.broker.port import Broker
from esb.config import load
from esb.discovery import discover
from esb.errors import EsbError
from esb.store.tables import metadata
from esb.worker.topology import topology
from tests.faults.trial import Trial

MB = 1e6
IN_DOUBT = "rows parked that wait for a person"
LOAD = "load of the machine"
_ESTABLISHED = "01"  # in /proc/net/tcp


class Sample(msgspec.Struct, frozen=True):
    """What was read at one moment (monotonic), by the name of the gauge. What could not be read is not there."""

    at: float
    values: dict[str, float]


class Gauges(threading.Thread):
    """Reads all gauges every few seconds until it is stopped."""

    def __init__(self, trial: Trial, every: float) -> None:
        """Args: what to look at; seconds between two looks."""
        super().__init__(daemon=True)
        self.samples: list[Sample] = []
        self._trial = trial
        self._every = every
        self._stopped = threading.Event()

    def run(self) -> None:
        place, root = self._trial.fire.place, self._trial.fire.root
        definition = load(root, discover(), environ=os.environ | self._trial.fire.tables.environment)
        queues = [queue.name for queue in topology(definition).queues]
        with closing(open_broker(place.broker, root / "data")) as broker:
            while not self._stopped.wait(self._every):
                self.samples.append(self._look(broker, queues))

    def stop(self) -> None:
        """No more."""
        self._stopped.set()
        if self.is_alive():
            self.join()

    def _look(self, broker: Broker, queues: list[str]) -> Sample:
        at, values = time.monotonic(), {LOAD: os.getloadavg()[0]}
        for gauge in (self._processes, self._servers, self._disk, self._rows, lambda: _queues(broker, queues)):
            with suppress(EsbError):  # a server that is away has no figures
                values.update(gauge())
        return Sample(at, values)

    def _processes(self) -> Iterator[tuple[str, float]]:
        for role, pid in self._trial.pids().items():
            with suppress(OSError):  # it is gone
                yield f"memory {role}, MB", _figure(pid, "smaps_rollup", "Pss:") * 1024 / MB
                yield f"descriptors {role}", float(len(os.listdir(f"/proc/{pid}/fd")))
                yield f"threads {role}", _figure(pid, "status", "Threads:")

    def _servers(self) -> Iterator[tuple[str, float]]:
        """Connections: those of this trial's own are the same all the time."""
        place = self._trial.fire.place
        for name, url in (("RabbitMQ", place.broker), ("PostgreSQL", place.database)):
            if port := urlsplit(url).port:
                yield f"connections to {name}", float(established(port))

    def _disk(self) -> Iterator[tuple[str, float]]:
        sizes = [_size(file) for file in (self._trial.fire.root / "data").rglob("*")]
        yield "files in data, MB", sum(sizes) / MB

    def _rows(self) -> Iterator[tuple[str, float]]:
        with self._trial.fire.store.reading() as t:
            for table in metadata.tables:
                yield f"rows {table}", float(t.connection.rows(f"SELECT count(*) FROM {table}")[0][0])
            waiting = t.connection.rows("SELECT count(*) FROM parked WHERE status NOT IN ('discarded', 'resolved')")
        yield IN_DOUBT, float(waiting[0][0])


def established(port: int) -> int:
    """Connections to a port of this machine, as its server sees them."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return sum(field[1].endswith(f":{port:04X}") and field[3] == _ESTABLISHED for field in fields)


def _queues(broker: Broker, names: list[str]) -> Iterator[tuple[str, float]]:
    depths = broker.depths(names)
    delayed = depths.pop("delayed")
    yield "messages in queues", float(sum(depth.ready + max(depth.unsettled, 0) for depth in depths.values()))
    yield "messages delayed", float(delayed.ready)


def _figure(pid: int, file: str, word: str) -> float:
    """A number that stands behind a word in a file of a process."""
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(word))


def _size(file: Path) -> int:
    with suppress(OSError):
        return file.stat().st_size if file.is_file() else 0
    return 0
