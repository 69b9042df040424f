"""Users: who may sign in to the admin interface, and what they may do there. Every change is audited."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, get_args

import msgspec

from esb.errors import EsbError
from esb.store.audit import Audit
from esb.store.connection import Connection

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")


class User(msgspec.Struct, frozen=True):
    """One person. ``password`` is a hash, empty while none was set; times are epoch seconds."""

    name: str
    role: Role
    password: str
    created_at: float
    signed_in_at: float | None


_COLUMNS = ", ".join(User.__struct_fields__)


class Users:
    """The rows of ``users``. ``who`` does it, for the audit; ``EsbError`` says why something cannot be done."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection
        self._audit = Audit(connection)

    def get(self, name: str) -> User | None:
        """One, by name."""
        row = self._db.row(f"SELECT {_COLUMNS} FROM users WHERE name = ?", (name,))
        return User(*row) if row else None

    def list(self) -> Sequence[User]:
        """All, by name."""
        return [User(*row) for row in self._db.rows(f"SELECT {_COLUMNS} FROM users ORDER BY name")]

    def any(self) -> bool:
        """Whether there is one at all."""
        return self._db.row("SELECT 1 FROM users LIMIT 1") is not None

    def add(self, name: str, role: Role, who: str, password: str = "", why: str = "") -> None:
        """Register a user; ``password`` is a hash, or nothing until a link sets it."""
        if not _NAME.fullmatch(name):
            raise EsbError(f"{name!r} is no user name: up to 100 letters, digits and . _ @ + -, such as an address")
        added = self._db.run(
            f"INSERT INTO users (name, role, password, created_at) VALUES (?, ?, ?, {self._db.now}) "
            "ON CONFLICT DO NOTHING",
            (name, role, password),
        )
        if not added:
            raise EsbError(f"there is a user {name!r} already: choose another name")
        self._note(who, "user add", name, why, role)

    def set_role(self, name: str, role: Role, who: str, why: str = "") -> None:
        """What the user may do from now on."""
        before = self._required(name)
        self._keep_an_admin(before, role)
        self._db.run("UPDATE users SET role = ? WHERE name = ?", (role, name))
        self._note(who, "user role", name, why, f"{before.role} to {role}")

    def set_password(self, name: str, password: str, who: str, why: str = "") -> None:
        """Store another password hash; every session and link of the user ends."""
        self._required(name)
        self._db.run("UPDATE users SET password = ? WHERE name = ?", (password, name))
        self._shut_out(name)
        self._note(who, "user password", name, why)

    def remove(self, name: str, who: str, why: str = "") -> None:
        """Delete the user, with sessions and links. What the audit says of them stays."""
        self._keep_an_admin(self._required(name), None)
        self._shut_out(name)
        self._db.run("DELETE FROM users WHERE name = ?", (name,))
        self._note(who, "user remove", name, why)

    def signed_in(self, name: str) -> None:
        """Note the time."""
        self._db.run(f"UPDATE users SET signed_in_at = {self._db.now} WHERE name = ?", (name,))

    def alone(self) -> None:
        """Let no other transaction change users until this one ends: for what must be checked before it is done."""
        if not self._db.embedded:  # SQLite has one writer
            self._db.run("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")

    def _required(self, name: str) -> User:
        self.alone()
        user = self.get(name)
        if user is None:
            raise EsbError(f"there is no user {name!r}: `esb user list` names them")
        return user

    def _keep_an_admin(self, user: User, role: Role | None) -> None:
        """Without one, nobody could make another."""
        if user.role != "admin" or role == "admin":
            return
        if self._db.row("SELECT count(*) FROM users WHERE role = 'admin'")[0] == 1:
            raise EsbError(f"{user.name!r} is the only admin: make somebody else one first")

    def _shut_out(self, name: str) -> None:
        for table in ("sessions", "links"):
            self._db.run(f"DELETE FROM {table} WHERE user_name = ?", (name,))

    def _note(self, who: str, act: str, name: str, why: str, detail: Any = "") -> None:
        self._audit.append(who, act, f"user:{name}", why, str(detail))
