"""The way in: find what is complete, take it by a rename, put it away when done."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from io import BufferedReader
from itertools import islice
from pathlib import Path

from esb.adapters.file.paths import (
    free_name,
    may_read,
    move,
    remove_empty,
    shown,
    stay_below,
    unreachable,
    write_anew,
)
from esb.adapters.file.settings import FileSettings
from esb.errors import EndpointError
from esb.ports import Claim

CLAIMED, REJECTED, REASON = ".claimed", ".rejected", ".reason.txt"
_LONGEST_POSITION = 20  # digits


class FileClaim:
    """A file in ``.claimed``. See :class:`esb.ports.Claim`."""

    def __init__(self, endpoint: str, directory: Path, id: str, relative: str) -> None:
        claimed = directory / CLAIMED / endpoint
        self._endpoint = endpoint
        self._directory = directory
        self._sidecar = claimed / f"{id}.position"
        self.id = id
        self.relative = relative
        self.path = claimed / id / relative
        self.name = shown(os.path.basename(relative))
        with self.open() as stream:
            self.time = os.fstat(stream.fileno()).st_mtime
            self.key = hashlib.file_digest(stream, "sha256").hexdigest()
        self.position = _position(self._sidecar)

    def open(self) -> BufferedReader:
        """The content; a symbolic link put in its place, or on the way there, is not followed."""
        try:
            self.stay()
            return os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
        except OSError as error:
            raise unreachable(self._endpoint, "cannot read the claimed file", self.path, error) from error

    def stay(self) -> None:
        """Raise ``OSError`` when it is reached through a link by now: another's file would be read, or moved away."""
        stay_below(self.path.parent, self._directory)

    def advance(self, position: int) -> None:
        """Write the position beside the claim. Not synced: after a power cut, records repeat under the same ids."""
        temporary = self._sidecar.with_suffix(".next")
        try:
            stay_below(temporary.parent, self._directory)
            write_anew(temporary, str(position))
            os.replace(temporary, self._sidecar)
        except OSError as error:
            raise unreachable(self._endpoint, "cannot note the position of", self.path, error) from error
        self.position = position

    def forget(self) -> None:
        """Remove what is left of the claim beside the file, which is elsewhere by now."""
        for path in (self._sidecar, self._sidecar.with_suffix(".next")):
            path.unlink(missing_ok=True)
        remove_empty(self.path.parent, self._sidecar.parent)


class Inbox:
    """Finds, claims and settles the files of one directory."""

    def __init__(self, endpoint: str, directory: Path, settings: FileSettings) -> None:
        self._endpoint = endpoint
        self._directory = directory
        self._settings = settings
        self._claimed = directory / CLAIMED / endpoint  # others may take other files out of the same directory
        self._archive = None if settings.done == "delete" else directory / settings.done
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}
        self._denied: set[str] = set()
        self._named: set[str] = set()

    def claim(self, limit: int) -> list[FileClaim]:
        """Up to ``limit`` claims. What must not be read is named once, and left alone from then on."""
        self._denied = set()
        stay_below(self._claimed, self._directory)
        left = self._leftovers()
        found = self._ready(list(self._scan(self._directory, ""))) if len(left) < limit else []
        paths = [path for _, path in found if self._may_read(path)]
        self._complain()
        claims = [FileClaim(self._endpoint, self._directory, id, path) for id, path in left[:limit]]
        claims.extend(islice(self._take(paths), limit - len(claims)))
        return claims

    def _may_read(self, path: str) -> bool:
        if not may_read(self._directory / path):
            self._denied.add(path)
        return path not in self._denied

    def _complain(self) -> None:
        """Raise about what is newly found unreadable, before anything is taken: the next call goes on without it."""
        fresh, self._named = sorted(self._denied - self._named), self._denied
        if fresh:
            names = ", ".join(shown(path) for path in fresh[:5]) + (" …" if len(fresh) > 5 else "")
            raise EndpointError(
                f"{self._endpoint}: no permission to read {names} in {shown(self._directory)}: left there"
            )

    def _leftovers(self) -> list[tuple[str, str]]:
        """(claim, path) of what was taken and not finished, oldest first. Empty claims are swept up."""
        left = []
        for id in sorted(name for name in _names(self._claimed) if "." not in name):
            path = _only_file(self._claimed / id)
            if path is None:
                self._sweep(id)
            elif self._may_read(f"{CLAIMED}/{self._endpoint}/{id}/{path}"):
                self._remove_marker(path)
                left.append((id, path))
        return left

    def _sweep(self, id: str) -> None:
        (self._claimed / f"{id}.position").unlink(missing_ok=True)
        remove_empty(self._claimed / id, self._claimed)

    def _scan(self, directory: Path, prefix: str) -> Iterator[tuple[os.stat_result, str]]:
        """(stat, path relative to the directory) of every regular file that has the pattern, links not followed."""
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False) and self._settings.recursive:
                    yield from self._descend(prefix + entry.name)
                elif entry.is_file(follow_symlinks=False) and fnmatch.fnmatchcase(entry.name, self._settings.pattern):
                    with suppress(FileNotFoundError):
                        yield entry.stat(follow_symlinks=False), prefix + entry.name

    def _descend(self, path: str) -> Iterator[tuple[os.stat_result, str]]:
        if self._may_read(path):
            with suppress(FileNotFoundError):
                yield from self._scan(self._directory / path, path + "/")

    def _ready(self, found: list[tuple[os.stat_result, str]]) -> list[tuple[float, str]]:
        """Those that are complete, by time and then name."""
        how = self._settings.ready.how
        if how == "stable":
            found = self._stable(found)
        elif how == "marker":
            suffix = self._settings.ready.suffix
            found = [(s, p) for s, p in found if not p.endswith(suffix) and (self._directory / (p + suffix)).is_file()]
        return sorted((status.st_mtime, path) for status, path in found)

    def _stable(self, found: list[tuple[os.stat_result, str]]) -> list[tuple[os.stat_result, str]]:
        """Watched by our own clock: the time stamps of a network file system are of another machine's."""
        now, ready, before, self._seen = time.monotonic(), [], self._seen, {}
        for status, path in found:
            state = (status.st_size, status.st_mtime_ns)
            known = before.get(path)
            since = known[1] if known and known[0] == state else now
            self._seen[path] = (state, since)
            if now - since >= self._settings.ready.seconds:
                ready.append((status, path))
        return ready

    def _take(self, paths: list[str]) -> Iterator[FileClaim]:
        for path in paths:
            # The time in front makes a successor resume in the order of claiming.
            id = f"{time.time_ns():016x}{secrets.token_hex(4)}"
            target = self._claimed / id / path
            stay_below(target.parent, self._directory)
            target.parent.mkdir(parents=True)
            try:
                os.rename(self._directory / path, target)
            except FileNotFoundError:  # taken away by its owner meanwhile
                remove_empty(target.parent, self._claimed)
                continue
            self._remove_marker(path)
            yield FileClaim(self._endpoint, self._directory, id, path)

    def _remove_marker(self, path: str) -> None:
        """A marker that outlives its file would vouch for the next one of that name."""
        if self._settings.ready.how == "marker" and not (self._directory / path).exists():
            (self._directory / (path + self._settings.ready.suffix)).unlink(missing_ok=True)

    # --- settling -------------------------------------------------------------------------------------------------

    def settle(self, claim: Claim, move: Callable[[FileClaim], None]) -> None:
        """Do ``move`` with the claimed file, unless it is gone already, and forget the claim."""
        assert isinstance(claim, FileClaim)
        try:
            claim.stay()
            if claim.path.exists():
                move(claim)
            claim.forget()
        except OSError as error:
            raise unreachable(self._endpoint, "cannot put away", claim.path, error) from error

    def finish(self, claim: FileClaim) -> None:
        """To the archive, under today's date (UTC)."""
        if self._archive is None:
            claim.path.unlink(missing_ok=True)
        else:
            target = self._archive / datetime.now(UTC).date().isoformat() / claim.relative
            move(claim.path, target, claim.id, _limit(self._directory, self._archive))

    def put_aside(self, claim: FileClaim, reason: str) -> None:
        """The reason first, so that a rejected file without one never lies there."""
        target = free_name(self._directory / REJECTED / claim.relative, claim.id, extra=len(REASON))
        stay_below(target.parent, self._directory)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_anew(target.with_name(target.name + REASON), reason + "\n")
        move(claim.path, target, claim.id, self._directory)

    def give_back(self, claim: FileClaim) -> None:
        """Where it lay; beside it, if something else lies there by now."""
        place = move(claim.path, self._directory / claim.relative, claim.id, self._directory)
        if self._settings.ready.how == "marker":
            write_anew(place.with_name(place.name + self._settings.ready.suffix), "")


def _limit(directory: Path, archive: Path) -> Path:
    """What finished files must not leave: the directory, or the archive where the settings put that elsewhere.

    Asked of the places above the archive, so that no link below the directory makes it look as if it were elsewhere.
    """
    parents = (os.path.realpath(parent) for parent in Path(os.path.abspath(archive)).parents)
    return directory if os.path.realpath(directory) in parents else archive


def _position(sidecar: Path) -> int:
    try:
        handle = os.open(sidecar, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)  # not a link, not a pipe
        with open(handle, "rb") as file:
            return int(file.read(_LONGEST_POSITION))
    except (OSError, ValueError):  # none yet, or cut short by a power failure: from the start, under the same ids
        return 0


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def _only_file(directory: Path) -> str | None:
    """The one file below a claim's directory, relative to it; anything but a regular file does not count."""
    if directory.is_symlink():  # which a walk would follow
        return None
    for parent, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(parent, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                return os.path.relpath(path, directory)
    return None
