"""Passwords and tokens, as they are kept."""

from __future__ import annotations

import pytest

from esb.errors import EsbError
from esb.store.credentials import hash_password, new_token, token_hash, verify_password

PASSWORD = "four words are enough"


def test_a_password_is_kept_by_a_hash_that_is_dear() -> None:
    """scrypt with 32 MB, salted: the same password twice gives two hashes, and both fit."""
    first, second = hash_password(PASSWORD), hash_password(PASSWORD)
    assert first.startswith("scrypt$32768$8$1$")
    assert first != second
    assert verify_password(PASSWORD, first) and verify_password(PASSWORD, second)


def test_a_wrong_password_does_not_fit() -> None:
    """Nor does anything where none is set, the hash itself, or a text that is no hash."""
    stored = hash_password(PASSWORD)
    assert not any(verify_password(word, stored) for word in ("", PASSWORD + " ", stored))
    assert not any(verify_password(PASSWORD, kept) for kept in ("", "plain"))


@pytest.mark.parametrize("password", ["", "eleven char", "x" * 1025])
def test_a_password_has_a_length(password: str) -> None:
    """Long enough to resist, short enough to be hashed by anybody who asks."""
    with pytest.raises(EsbError, match="12 to 1024 characters"):
        hash_password(password)


def test_tokens_differ_and_are_kept_as_hashes() -> None:
    """The hash says nothing about the token."""
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43
    assert all(token not in token_hash(token) for token in tokens)
