"""SQL databases: rows of a table as messages, messages as rows. SQLite, PostgreSQL, MariaDB.

SQLAlchemy and the drivers are imported when an endpoint is opened, so a bus without one does not load them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from esb.adapters.sql.settings import Lines, Seen, SqlOperation, SqlSettings, Status, backend
from esb.errors import EsbError
from esb.ports import Adapter, Claim, Effect, Features, Reply, Request

if TYPE_CHECKING:
    from esb.adapters.sql.parts import Parts

__all__ = ["Lines", "Seen", "SqlAdapter", "SqlOperation", "SqlSettings", "Status"]


class SqlAdapter(Adapter):
    """Takes rows out of a table and writes messages into tables, each in one transaction.

    An upsert, update or delete can be repeated without harm; an insert or a statement cannot, unless ``inbox_table``
    lies in the same database: then every operation is *keyed* and takes effect exactly once.
    """

    kind: ClassVar[str] = "sql"
    summary: ClassVar[str] = "rows of SQL databases, in and out"
    features: ClassVar[Features] = Features(polls=True, sends=True, keyed=True, replies=True, batches=True, probes=True)
    Settings: ClassVar[type[BaseModel]] = SqlSettings
    Operation: ClassVar[type[BaseModel]] = SqlOperation

    def __init__(
        self,
        name: str,
        settings: SqlSettings,
        operations: Mapping[str, SqlOperation] | None = None,
        receive: Any = None,
        root: str = ".",
    ) -> None:
        super().__init__(name, settings, operations, receive, root)
        self._lock = threading.Lock()
        self._parts: Parts | None = None

    @classmethod
    def problems(cls, settings: Any, operations: Mapping[str, Any], receive: Any) -> Sequence[str]:
        """A table needs somebody who receives from it, and the other way round; an inbox needs operations."""
        found = []
        if receive is not None and not settings.table:
            found.append("settings.table is missing: the one whose rows are received")
        if receive is None and settings.table:
            found.append("settings.table is received from, and there is no receive")
        if settings.inbox_table and not operations:
            found.append("settings.inbox_table is for operations, and there are none")
        return found

    @classmethod
    def effect(cls, settings: Any, operation: Any) -> Effect:
        """Exactly once through the inbox table; else it depends on the statement."""
        if operation.kind == "select":
            return "none"
        if settings.inbox_table:
            return "keyed"
        return "unkeyed" if operation.kind in ("insert", "execute") else "idempotent"

    @classmethod
    def can_tell(cls, settings: Any, operation: Any) -> bool:
        """Where the operation says what to look for."""
        return operation.probe is not None

    def open(self) -> None:
        """Load the driver; nothing is connected before it is needed."""
        self._ready()

    def close(self) -> None:
        """Close idle connections; transactions under way end by themselves."""
        with self._lock:
            parts, self._parts = self._parts, None
        if parts:
            parts.close()

    def check(self) -> str:
        """Ask for a sign of life, and see that the tables are as the settings say."""
        return self._ready().check()

    def claim(self, owner: str, limit: int) -> Sequence[Claim]:
        """Rows that were taken and not finished first. See :meth:`esb.ports.Adapter.claim`."""
        return self._ready().source.claim(owner, limit)

    def done(self, claim: Claim) -> None:
        """Mark, delete or remember the row."""
        self.done_all([claim])

    def done_all(self, claims: Sequence[Claim]) -> None:
        """The same for several, in one transaction."""
        self._ready().source.done(claims)

    def reject(self, claim: Claim, reason: str) -> None:
        """Set the row aside with its reason."""
        self._ready().source.reject(claim, reason)

    def release(self, claim: Claim) -> None:
        """Let the row be as before."""
        self._ready().source.release(claim)

    def send(self, request: Request) -> Reply:
        """One transaction: committed as a whole, or nothing happened."""
        parts = self._ready()
        if self.operations[request.operation].kind == "select":
            return parts.queries[request.operation].answer(request)
        return parts.writers[request.operation].write(request)

    def send_all(self, requests: Sequence[Request]) -> Sequence[Reply | EsbError]:
        """All in one transaction; one that is refused is left out of it."""
        if self.operations[requests[0].operation].kind == "select":
            return super().send_all(requests)
        return self._ready().writers[requests[0].operation].write_all(requests)

    def took_place(self, request: Request) -> Reply | None:
        """Look for the row that the operation's ``probe`` selects."""
        return self._ready().probes[request.operation].find(request)

    def _ready(self) -> Parts:
        """What works, made when it is first needed: an adapter whose driver was missing at the start recovers."""
        with self._lock:
            if self._parts is None:
                from esb.adapters.sql.parts import Parts

                settings = self.settings
                file = Path(self.root, settings.notes.replace("{endpoint}", self.name))
                self._parts = Parts(self.name, backend(settings.address), settings, self.operations, self.root, file)
            return self._parts
