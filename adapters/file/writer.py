"""The way out: a message becomes a file, complete or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from esb.adapters.file.paths import file_name_part, shown, stay_below
from esb.adapters.file.settings import FileOperation
from esb.errors import Busy, EsbError, Interrupted, Refused, Unreachable
from esb.ports import Reply, Request, Template

TEMPORARY = ".tmp"
STALE = 3600.0  # seconds after which a temporary file belongs to nobody


class Writer:
    """Writes the messages of one operation. Holds nothing that changes, so threads share it.

    Errors show the path as it is configured, since what it is filled with may be masked.
    """

    def __init__(self, endpoint: str, directory: Path, operation: FileOperation) -> None:
        self._endpoint = endpoint
        self._directory = directory
        self._template = Template(operation.path)
        self._path = directory / operation.path
        self._overwrite = operation.overwrite

    def write(self, request: Request) -> Reply:
        """Temporary file, sync, rename (or link), sync of the directory."""
        outcome = self.write_all([request])[0]
        if isinstance(outcome, EsbError):
            raise outcome
        return outcome

    def write_all(self, requests: Sequence[Request]) -> list[Reply | EsbError]:
        """As :meth:`write`, with one sync of each directory for all of them."""
        placed = [self._placed(request) for request in requests]
        directories = {target.parent for target in placed if isinstance(target, Path)}
        unsynced = {directory: error for directory in directories if (error := self._unsynced(directory))}
        return [one if isinstance(one, EsbError) else unsynced.get(one.parent) or self._written(one) for one in placed]

    def _placed(self, request: Request) -> Path | EsbError:
        """Where a message is now, if its directory outlives a power cut."""
        try:
            target = self._directory / self._template.fill(request.document, request.words(), file_name_part)
        except EsbError as error:
            return error
        try:
            self._prepare(target)
            self._place(target, request.body)
        except OSError as error:
            return _no_effect(self._endpoint, self._path, error)
        except EsbError as error:
            return error
        return target

    def _unsynced(self, directory: Path) -> EsbError | None:
        try:
            _sync_directory(directory)
        except OSError as error:
            return Interrupted(f"{self._endpoint}: {shown(self._path.parent)} may not be on disk: {error.strerror}")
        return None

    def _written(self, target: Path) -> Reply:
        return Reply(detail=f"written {shown(str(target.relative_to(self._directory)))}")

    def _prepare(self, target: Path) -> None:
        os.stat(self._directory)  # a directory that went away (an unmounted share) is not made anew
        if not Path(os.path.realpath(target.parent)).is_relative_to(os.path.realpath(self._directory)):
            raise Refused(f"{self._endpoint}: {shown(self._path)} leads out of the directory through a link")
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            for parent in target.parent.relative_to(self._directory).parents:
                _sync_directory(self._directory / parent)

    def _place(self, target: Path, body: bytes) -> None:
        stay_below(self._directory / TEMPORARY, self._directory)
        temporary = _temporary(self._directory / TEMPORARY, body)
        try:
            if self._overwrite:
                os.replace(temporary, target)
            elif not _link(temporary, target) and not _same(target, body):
                raise Refused(
                    f"{self._endpoint}: {shown(self._path)} exists with another content; "
                    "put {message_id} into the path, or set overwrite: true"
                )
        finally:
            temporary.unlink(missing_ok=True)


def _no_effect(endpoint: str, path: Path, error: OSError) -> EsbError:
    text = f"{endpoint}: cannot write {shown(path)}: {error.strerror or type(error).__name__}"
    if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
        return Refused(text)
    return Busy(text) if error.errno in (errno.ENOSPC, errno.EDQUOT) else Unreachable(text)


def _temporary(directory: Path, body: bytes) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / secrets.token_hex(12)
    try:
        with open(path, "xb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def _link(temporary: Path, target: Path) -> bool:
    """Give the file its name unless that is taken (a rename would replace). False: it is taken."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError as error:  # a file system without hard links (FAT, some shares): not atomic, but all there is
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        if target.exists():
            return False
        os.replace(temporary, target)
    return True


def _same(target: Path, body: bytes) -> bool:
    with open(target, "rb") as file:
        return os.fstat(file.fileno()).st_size == len(body) and file.read() == body


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clear_stale(directory: Path) -> None:
    """Remove temporary files that a crash left behind; never another directory's, through a link."""
    if directory.is_symlink():
        return
    with os.scandir(directory) as entries:
        for entry in entries:
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE:
                os.unlink(entry.path)
