"""Passwords and tokens: what the store keeps of them never opens a door by itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from esb.errors import EsbError

SHORTEST, LONGEST = 12, 1024  # characters of a password
_N, _R, _P = 2**15, 8, 1  # scrypt: 32 MB and about 0.1 s a try (RFC 7914; OWASP's parameters)
_MEMORY = 64 * 1024**2


def hash_password(password: str) -> str:
    """``scrypt$n$r$p$salt$key``. Raises ``EsbError`` for a password that is too short or too long.

    By hand on ``hashlib``: the command line hashes passwords too, and has no web framework to borrow from.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise EsbError(f"a password has {SHORTEST} to {LONGEST} characters: choose a longer one, such as four words")
    salt = secrets.token_bytes(16)
    key = _scrypt(password, salt, _N, _R, _P)
    return "$".join(("scrypt", str(_N), str(_R), str(_P), _text(salt), _text(key)))


def verify_password(password: str, stored: str) -> bool:
    """Whether it is the one. Without a stored one it is never, but takes as long: names cannot be told by the time."""
    known = stored.startswith("scrypt$")
    _, n, r, p, salt, key = (stored if known else _nobody()).split("$")
    found = _scrypt(password[:LONGEST], base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(key)) and known


def new_token() -> str:
    """256 random bits that fit into a cookie or an address."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is stored of a token. A quick hash is enough: nobody guesses 256 bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def _nobody() -> str:
    return "$".join(("scrypt", str(_N), str(_R), str(_P), _text(bytes(16)), _text(bytes(32))))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "replace"), salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=32)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
