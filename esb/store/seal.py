"""The seal: what is kept whole for the bus to go on, and never for people, is encrypted where there is a key."""

from __future__ import annotations

import os
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from esb.errors import StoreError

KEY_FILE = "store.key"  # beside an embedded database
_TOKEN = b"gAAAA"  # how every Fernet token begins; no row that is packed in the open does
_MISSING = f"put it back, under `encryption.keys` in esb.yaml or as {KEY_FILE} in the bus's data directory"


class Seal:
    """Closes and opens columns. The first key closes; all of them open, so that a key can be replaced.

    Without a key they are kept as they are. Fernet (AES-128-CBC with HMAC-SHA256), by the library ``cryptography``.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        """Args: texts of any length, each hashed to a key's size."""
        self._keys = tuple(keys)

    @cached_property
    def _fernet(self) -> Any:
        return _fernet(self._keys) if self._keys else None

    def close(self, packed: bytes) -> bytes:
        """The bytes as they are kept. Raises ``StoreError`` without the library."""
        return packed if self._fernet is None else self._fernet.encrypt(packed)

    def open(self, kept: bytes) -> bytes:
        """The reverse; also of what was kept before there was a key. Raises ``StoreError`` when no key fits."""
        if not kept.startswith(_TOKEN):
            return kept
        if self._fernet is None:
            raise StoreError(f"a row is encrypted and there is no key: {_MISSING}")
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(kept)
        except InvalidToken as error:
            raise StoreError(f"a row is encrypted with a key that is not configured: {_MISSING}") from error


def _fernet(keys: Sequence[str]) -> Any:
    """Imported only where it is needed: most buses mask nothing, and the library is an extra."""
    try:
        from cryptography.fernet import Fernet, MultiFernet
    except ImportError as error:
        raise StoreError("the store is encrypted, which needs a library: pip install 'esb[encryption]'") from error
    return MultiFernet([Fernet(urlsafe_b64encode(sha256(key.encode()).digest())) for key in keys])


def own_key(directory: Path) -> list[str]:
    """The key that an embedded database has of its own, if it has one."""
    try:
        return [(directory / KEY_FILE).read_text(encoding="ascii").strip()]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"the key of the store, {directory / KEY_FILE}, cannot be read: {error}") from error


def make_key(directory: Path) -> list[str]:
    """The same, made where there is none. Of several processes that start together, one makes it for all."""
    draft = directory / f".{KEY_FILE}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, directory / KEY_FILE)  # appears whole or not at all, and replaces none
        draft.unlink()
    except OSError as error:
        raise StoreError(f"a key for the store cannot be made in {directory}: {error}") from error
    return own_key(directory)
