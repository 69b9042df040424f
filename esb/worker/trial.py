"""Trying a mapping or a contract on a document that somebody hands in: on the real engine, in a process of its own.

A process, because an expression may use all the time and memory it gets, and nothing inside a process can take them
back. Its limits are the operating system's.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from esb.config.definition import Definition
from esb.contract import Contract
from esb.errors import MessageError
from esb.expression import Bindings, Data
from esb.formats.numbers import decode_json
from esb.mapping import Mapping
from esb.message import create

SECONDS = 5  # of processor time
PATIENCE = 10.0  # seconds to wait for it
MEMORY = 512 * 1024**2  # bytes of address space, beside what is loaded
_turns = 2  # at once


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. ``violations``: (pointer, sentence) of the contract ``broken``; ``leaf`` is where it failed."""

    result: Any = msgspec.UNSET
    error: str = ""
    kind: str = ""
    leaf: str = ""
    where: str = ""
    broken: str = ""
    violations: tuple[tuple[str, str], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all went well."""
        return not self.error


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is told."""

    document: bytes
    mapping: dict[str, Any] | None = None  # arguments of a Mapping; lines as pairs
    source: str = ""  # contract of what comes in
    target: str = ""  # and of what goes out
    contracts: dict[str, Any] = {}


class Laboratory:
    """Runs trials, a few at a time, each for a few seconds at most."""

    def __init__(self, seconds: float = PATIENCE, turns: int = _turns) -> None:
        self._seconds = seconds
        self._turns = threading.Semaphore(turns)

    def mapping(self, definition: Definition, name: str, document: bytes) -> Trial:
        """What a mapping of the definition makes of a document."""
        loaded = definition.mappings[name]
        arguments = {
            "name": loaded.name,
            "set": loaded.set,
            "lookups": {word: definition.lookups[file] for word, file in loaded.lookups.items()},
            "lines": list(loaded.lines.items()),
            "file": loaded.file,
        }
        return self._run(definition, document, arguments, loaded.source or "", loaded.target or "")

    def contract(self, definition: Definition, ref: str, document: bytes) -> Trial:
        """Whether a document meets a contract of the definition."""
        return self._run(definition, document, None, ref, "")

    def _run(
        self, definition: Definition, document: bytes, mapping: dict[str, Any] | None, source: str, target: str
    ) -> Trial:
        job = Job(
            document=document, mapping=mapping, source=source, target=target, contracts=dict(definition.contracts)
        )  # fmt: skip
        if not self._turns.acquire(timeout=self._seconds):
            return Trial(error="others are trying something right now: try again in a moment", kind="busy")
        try:
            return _started(msgspec.msgpack.encode(job), self._seconds)
        finally:
            self._turns.release()


def _started(job: bytes, seconds: float) -> Trial:
    command = [sys.executable, "-m", __name__]
    try:
        done = subprocess.run(command, input=job, capture_output=True, timeout=seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return Trial(error=f"it took longer than {seconds:g} s and was ended", kind="limit")
    if done.returncode != 0:
        return Trial(error="it ran into the limit of time or memory and was ended", kind="limit")
    return msgspec.json.decode(done.stdout, type=Trial)


def carry_out(job: Job) -> Trial:
    """One trial, in this process."""
    result: Any = msgspec.UNSET
    try:
        document = decode_json(job.document)
        if job.source:
            Contract(job.source, job.contracts[job.source], job.contracts).check(document)
        if job.mapping is None:
            return Trial(result=document)
        arguments = job.mapping | {"lines": {tuple(pointer): line for pointer, line in job.mapping["lines"]}}
        message = create(job.document, type=job.source.partition("/")[0] or "trial", source="trial")
        result = Mapping(**arguments).apply(Data(document), Bindings(message))
        if job.target:
            Contract(job.target, job.contracts[job.target], job.contracts).check(result)
    except MessageError as error:
        return _failed(error, result)
    return Trial(result=result)


def _failed(error: Any, result: Any) -> Trial:
    """What went wrong, with what was made all the same."""
    return Trial(
        result=result, error=str(error), kind=error.kind, leaf=getattr(error, "leaf", ""),
        where=getattr(error, "where", ""), broken=getattr(error, "contract", ""),
        violations=getattr(error, "violations", ()),
    )  # fmt: skip


def _address_space() -> int:
    """Bytes of address space that this process takes up now."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def main() -> None:
    """The process: a job on standard input, the trial on standard output."""
    room, processor = _address_space() + MEMORY, int(resource.getrusage(resource.RUSAGE_SELF).ru_utime) + SECONDS
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CPU, (processor, processor))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode(carry_out(job)))


if __name__ == "__main__":
    main()
