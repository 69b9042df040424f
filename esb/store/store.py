"""The store: one database, its transactions, and what keeps it in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from esb.errors import StoreDown, StoreError
from esb.store import engine as engines
from esb.store import failures, retention, revision
from esb.store.audit import Audit
from esb.store.breakers import Breakers
from esb.store.claim_checks import ClaimChecks
from esb.store.claims import Claims
from esb.store.connection import Connection
from esb.store.continuations import Continuations
from esb.store.definitions import Definitions
from esb.store.figures import Figures
from esb.store.gate import Gate
from esb.store.groups import Groups
from esb.store.held import HeldMessages
from esb.store.inbox import Inbox
from esb.store.leases import Leases
from esb.store.outbox import Outbox
from esb.store.parked import ParkedMessages
from esb.store.pauses import Pauses
from esb.store.pipeline import PipelinedConnection
from esb.store.probes import Probes
from esb.store.replays import Replays
from esb.store.sagas import Sagas
from esb.store.schedules import Schedules
from esb.store.seal import Seal, make_key, own_key
from esb.store.sessions import Links, Sessions
from esb.store.suspects import Suspects
from esb.store.switches import Switches
from esb.store.timers import Timers
from esb.store.tracking import Tracking
from esb.store.users import Users


class Transaction:
    """One transaction: every repository on one connection; all of it is committed, or nothing."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @cached_property
    def tracking(self) -> Tracking:
        return Tracking(self.connection)

    @cached_property
    def inbox(self) -> Inbox:
        return Inbox(self.connection)

    @cached_property
    def outbox(self) -> Outbox:
        return Outbox(self.connection)

    @cached_property
    def sagas(self) -> Sagas:
        return Sagas(self.connection)

    @cached_property
    def groups(self) -> Groups:
        return Groups(self.connection)

    @cached_property
    def claim_checks(self) -> ClaimChecks:
        return ClaimChecks(self.connection)

    @cached_property
    def continuations(self) -> Continuations:
        return Continuations(self.connection)

    @cached_property
    def held(self) -> HeldMessages:
        return HeldMessages(self.connection)

    @cached_property
    def timers(self) -> Timers:
        return Timers(self.connection)

    @cached_property
    def parked(self) -> ParkedMessages:
        return ParkedMessages(self.connection)

    @cached_property
    def claims(self) -> Claims:
        return Claims(self.connection)

    @cached_property
    def leases(self) -> Leases:
        return Leases(self.connection)

    @cached_property
    def breakers(self) -> Breakers:
        return Breakers(self.connection)

    @cached_property
    def pauses(self) -> Pauses:
        return Pauses(self.connection)

    @cached_property
    def switches(self) -> Switches:
        return Switches(self.connection)

    @cached_property
    def suspects(self) -> Suspects:
        return Suspects(self.connection)

    @cached_property
    def definitions(self) -> Definitions:
        return Definitions(self.connection)

    @cached_property
    def schedules(self) -> Schedules:
        return Schedules(self.connection)

    @cached_property
    def probes(self) -> Probes:
        return Probes(self.connection)

    @cached_property
    def replays(self) -> Replays:
        return Replays(self.connection)

    @cached_property
    def audit(self) -> Audit:
        return Audit(self.connection)

    @cached_property
    def figures(self) -> Figures:
        return Figures(self.connection)

    @cached_property
    def users(self) -> Users:
        return Users(self.connection)

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self.connection)

    @cached_property
    def links(self) -> Links:
        return Links(self.connection)


class Store:
    """The bus's memory, on SQLite or PostgreSQL. Safe to share between threads; not over a fork.

    Every method raises ``StoreDown`` when the database cannot be used now (``transient``: the same transaction may
    be tried again at once), ``RowRefused`` when it refuses a value, ``StoreError`` for everything else.
    """

    def __init__(
        self, engine: sa.Engine, file: Path | None = None, seal: Seal | None = None, embedded: bool | None = None
    ) -> None:
        """Args: the engine, for SQLite its file (or ``embedded`` where it has none), and what encrypts. Use
        :func:`esb.store.open_store`."""
        self.engine = engine
        self.seal = seal or Seal()
        self.embedded = file is not None if embedded is None else embedded
        self.name = str(file or "memory") if self.embedded else _shown(engine)
        self._replaceable = file is not None or not self.embedded  # a database in memory is its connection
        self._ours = engine.execution_options(**{engines.OURS: True})
        self._migrator = engine if self.embedded else engine.execution_options(isolation_level="READ COMMITTED")
        self._gate: Callable[[], Any] = (
            Gate(file, engines.TIMEOUT, lambda: engines.write_back(engine)) if file else nullcontext
        )

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Read and write; committed at the end of the block, rolled back when it raises."""
        with self._translated(), self._gate(), self._ours.connect() as connection:
            ours = self._connected(connection)
            with ours.transaction():
                yield Transaction(ours)
            if ours.laden and self._replaceable:
                connection.invalidate()  # the next transaction has a fresh one

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Read only, all of one moment, holding nobody up. Keep it short: it keeps the database from tidying up."""
        with self._translated(), self._ours.connect() as connection:
            ours = self._connected(connection, reading=True)
            with ours.transaction():
                yield Transaction(ours)

    def migrate(self) -> None:
        """Bring the tables to what this version needs. Safe to call from several processes at once."""
        if self.current() != self.head():
            self._migrate("upgrade", "head")

    def downgrade(self, to: str) -> None:
        """Take the tables back to an earlier revision; what they held beyond it is lost."""
        self._migrate("downgrade", to)

    def current(self) -> str:
        """The revision of the database; "" when it is empty."""
        with self._translated(), self._ours.begin() as connection:
            return revision.current(connection)

    def head(self) -> str:
        """The revision this version of the bus needs."""
        return revision.head()

    def revision(self) -> tuple[str, str]:
        """(:meth:`current`, :meth:`head`)."""
        return self.current(), self.head()

    def require_current(self) -> None:
        """Raises ``StoreError``, naming the command that helps, unless the tables are what this version needs."""
        current, head = self.revision()
        if current != head:
            at = f"at revision {current}" if current else "empty"
            raise StoreError(f"the store {self.name} is {at}, this version needs {head}: run `esb db upgrade`")

    def check(self) -> str:
        """Ask the database for a sign of life; a short sentence, or ``StoreDown``."""
        with self._translated(), self._ours.begin() as connection:
            version = connection.exec_driver_sql(
                "SELECT sqlite_version()" if self.embedded else "SELECT current_setting('server_version')"
            ).scalar()
        return f"{'SQLite' if self.embedded else 'PostgreSQL'} {version} at {self.name}"

    def prune(self, now: float, keep: retention.Retention, batch: int = 500) -> dict[str, int]:
        """Delete what is older than ``keep`` says; how many rows of each table. Others can write in between."""
        deleted: dict[str, int] = {}
        for rule in retention.rules():
            count = batch
            while count == batch:
                with self.transaction() as t:
                    count = retention.step(t.connection, rule, now, keep, batch)
                deleted[rule.table] = deleted.get(rule.table, 0) + count
        return deleted

    def close(self) -> None:
        """Let all connections go. The store can be used again; it then makes new ones."""
        self.engine.dispose()

    def _connected(self, connection: sa.Connection, reading: bool = False) -> Connection:
        kind = Connection if self.embedded else PipelinedConnection
        return kind(connection, self.seal, reading)

    def _migrate(self, way: str, to: str) -> None:
        from esb.store import migration  # Alembic is needed here only, and takes its time to import

        with self._translated(), self._gate(), self._migrator.begin() as connection:
            getattr(migration, way)(connection, to)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The last guard: what SQLAlchemy raises by itself, and what listeners let through."""
        try:
            yield
        except sa.exc.TimeoutError as error:
            raise StoreDown(f"all connections to the store {self.name} are in use: a transaction hangs") from error
        except sa.exc.SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            said = failures.translate(cause, f"the store {self.name}")
            raise said or StoreError(f"the store {self.name} failed ({cause})") from error
        except Exception as error:
            said = failures.driver(error, f"the store {self.name}")
            if said is None:
                raise
            raise said from error


def _shown(engine: sa.Engine) -> str:
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=True)


def open_store(url: str, data_dir: str | Path, keys: Sequence[str] = (), *, seals: bool = False) -> Store:
    """The store behind ``database:`` of esb.yaml; does not connect and does not migrate.

    Args:
        url: ``embedded`` (SQLite, ``store.db`` in ``data_dir``) or ``postgresql://user:password@host:5432/name``.
        data_dir: directory of the embedded database; made when it is missing.
        keys: ``encryption.keys``. Needed by whoever sends on what is stored, or stores it; not for looking.
        seals: something is stored that must not lie in the open: without a key, an embedded database gets its own.
    """
    if url == "embedded":
        directory = Path(data_dir)
        file = directory / "store.db"
        engine = engines.embedded(file)
        own = own_key(directory)
        if seals and not keys and not own:
            own = make_key(directory)
        return Store(engine, file, Seal([*keys, *own]))
    if url.startswith(("postgresql://", "postgres://")):
        return Store(engines.server("postgresql" + url[url.index(":") :]), seal=Seal(keys))
    raise StoreError("`database:` is neither `embedded` nor postgresql://user:password@host:5432/name")
