"""Files in a directory: taken by an atomic rename, written by an atomic rename.

In a directory that is polled the adapter keeps, all on the same file system::

    orders.csv                               what others drop
    .claimed/<endpoint>/<claim>/orders.csv   taken; survives a crash of whoever took it
    .claimed/<endpoint>/<claim>.position     how many of its records are confirmed
    .done/<date>/orders.csv                  finished
    .rejected/orders.csv                     could not be read; orders.csv.reason.txt says why

Symbolic links, directories and names that begin with a dot are never taken.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from esb.adapters.file.inbox import FileClaim, Inbox
from esb.adapters.file.paths import shown, unreachable
from esb.adapters.file.settings import FileOperation, FileSettings
from esb.adapters.file.writer import TEMPORARY, Writer, clear_stale
from esb.errors import EsbError, Unreachable
from esb.ports import Adapter, Claim, Features, Reply, Request

__all__ = ["FileAdapter", "FileOperation", "FileSettings"]


class FileAdapter(Adapter):
    """Takes files out of a directory and writes messages into it.

    Writing is *keyed*: the name is made from the message, so the same message writes the same file, and finding it
    there with the same content is success. A hanging network file system cannot be interrupted from here: mount it
    ``soft``, or give the endpoint its own process.
    """

    kind: ClassVar[str] = "file"
    summary: ClassVar[str] = "files in a directory, in and out"
    features: ClassVar[Features] = Features(polls=True, sends=True, keyed=True, batches=True)
    Settings: ClassVar[type[BaseModel]] = FileSettings
    Operation: ClassVar[type[BaseModel]] = FileOperation

    def __init__(
        self,
        name: str,
        settings: FileSettings,
        operations: Mapping[str, FileOperation] | None = None,
        receive: Any = None,
        root: str = ".",
    ) -> None:
        super().__init__(name, settings, operations, receive, root)
        self.directory = Path(root, settings.directory)
        self._inbox = Inbox(name, self.directory, settings)
        self._writers = {key: Writer(name, self.directory, value) for key, value in self.operations.items()}

    def open(self) -> None:
        """Make the directory unless ``create: false``, and clear what a crash left half written."""
        try:
            if self.settings.create:
                self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unreachable(self.name, "cannot make the directory", self.directory, error) from error
        self.check()
        with suppress(OSError):
            clear_stale(self.directory / TEMPORARY)

    def check(self) -> str:
        """The directory can be listed and written to."""
        try:
            with os.scandir(self.directory):
                pass
        except OSError as error:
            raise unreachable(self.name, "cannot read the directory", self.directory, error) from error
        if not os.access(self.directory, os.W_OK | os.X_OK, effective_ids=True):
            raise Unreachable(f"{self.name}: the directory {shown(self.directory)} is not writable for this user")
        return f"{shown(self.directory)} can be read and written"

    def claim(self, owner: str, limit: int) -> Sequence[FileClaim]:
        """Claims left in ``.claimed`` first, then what is ready, oldest first. See :meth:`esb.ports.Adapter.claim`."""
        try:
            return self._inbox.claim(limit)
        except OSError as error:
            raise unreachable(self.name, "cannot take files from", self.directory, error) from error

    def done(self, claim: Claim) -> None:
        """Archive or delete the file."""
        self._inbox.settle(claim, self._inbox.finish)

    def reject(self, claim: Claim, reason: str) -> None:
        """Move the file to ``.rejected`` with its reason beside it."""
        self._inbox.settle(claim, lambda one: self._inbox.put_aside(one, reason))

    def release(self, claim: Claim) -> None:
        """Move the file back to where it lay."""
        self._inbox.settle(claim, self._inbox.give_back)

    def send(self, request: Request) -> Reply:
        """Write one file: complete or not at all, on disk before this returns."""
        return self._writers[request.operation].write(request)

    def send_all(self, requests: Sequence[Request]) -> Sequence[Reply | EsbError]:
        """As many files, with one sync of each directory."""
        return self._writers[requests[0].operation].write_all(requests)
