"""One-time links, which let a person set a password; made by an admin, the command line, or the first start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esb.errors import EsbError
from esb.store.credentials import new_token, token_hash
from esb.store.sessions import FIRST

if TYPE_CHECKING:
    from esb.store.store import Transaction

LIFE = 24 * 3600.0  # seconds a link is good for
FIRST_LIFE = 3600.0  # the one of the first start: whoever has it becomes the admin


def make_link(t: Transaction, name: str, now: float, who: str, why: str = "") -> str:
    """The token of a new link for a user; those before it end. Raises ``EsbError`` when there is no such user."""
    if t.users.get(name) is None:
        raise EsbError(f"there is no user {name!r}: `esb user list` names them")
    token = new_token()
    t.links.remove(name)
    t.links.add(token_hash(token), name, now + LIFE)
    t.audit.append(who, "user link", f"user:{name}", why)
    return token


def make_first_link(t: Transaction, now: float) -> str:
    """The token of a link that makes the first admin; "" when there is a user already."""
    if t.users.any():
        return ""
    token = new_token()
    t.links.add(token_hash(token), FIRST, now + FIRST_LIFE)
    return token


def link_path(token: str) -> str:
    """The path of a link below the interface's address."""
    return f"/link/{token}"
