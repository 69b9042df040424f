"""The seal: what is kept whole for the bus to go on, and never for people, is encrypted where a key is configured."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from esb.errors import StoreError

_TOKEN = b"gAAAA"  # how every Fernet token begins; no row that is packed in the open does


class Seal:
    """Closes and opens columns. The first key closes; all of them open, so that a key can be replaced.

    Without a key they are kept as they are. Fernet (AES-128-CBC with HMAC-SHA256), by the library ``cryptography``.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        """Args: texts of any length, each hashed to a key's size. Raises ``StoreError`` without the library."""
        self._fernet: Any = _fernet(keys) if keys else None

    def close(self, packed: bytes) -> bytes:
        """The bytes as they are kept."""
        return packed if self._fernet is None else self._fernet.encrypt(packed)

    def open(self, kept: bytes) -> bytes:
        """The reverse; also of what was kept before there was a key. Raises ``StoreError`` when no key fits."""
        if not kept.startswith(_TOKEN):
            return kept
        if self._fernet is None:
            raise StoreError("a row is encrypted and there is no key: put it back under `encryption.keys` in esb.yaml")
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(kept)
        except InvalidToken as error:
            raise StoreError(
                "a row is encrypted with a key that is not configured: add it to `encryption.keys` in esb.yaml"
            ) from error


def _fernet(keys: Sequence[str]) -> Any:
    """Imported only where it is needed: most buses mask nothing, and the library is an extra."""
    try:
        from cryptography.fernet import Fernet, MultiFernet
    except ImportError as error:
        raise StoreError("encryption.keys needs a library: pip install 'esb[encryption]'") from error
    return MultiFernet([Fernet(urlsafe_b64encode(sha256(key.encode()).digest())) for key in keys])
