"""The way out: a message becomes one transaction."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from esb.adapters.sql.database import Database
from esb.adapters.sql.fields import ABSENT, getter, required
from esb.adapters.sql.once import Once
from esb.adapters.sql.settings import Lines, SqlOperation
from esb.adapters.sql.tables import Tables, declared
from esb.adapters.sql.text import bindable, parameters
from esb.adapters.sql.values import scalar, to_column
from esb.errors import EndpointError, EsbError, Refused
from esb.ports import Reply, Request

Values = dict[str, Any]
Outcome = TypeVar("Outcome")


class Writer:
    """Carries out one operation. Holds nothing that changes, so threads share it."""

    def __init__(
        self, endpoint: str, operation: SqlOperation, database: Database, tables: Tables, once: Once | None
    ) -> None:
        self._endpoint = endpoint
        self._database = database
        self._tables = tables
        self._once = once
        self._what = f"write to {operation.table}" if operation.table else "execute the statement"
        self._effect: Effect = (
            Statement(operation.execute, operation.parameters)
            if operation.execute
            else TableEffect(operation, tables, database.backend)
        )

    def write(self, request: Request) -> Reply:
        """The inbox first, then the effect, then the commit."""
        try:
            return self._commit([request], request.timeout, self._one)[0]
        except Refused as error:
            raise self._named(error) from error

    def write_all(self, requests: Sequence[Request]) -> list[Reply | EsbError]:
        """All in one transaction. Where one is refused, once more with a savepoint around each, so that it is the
        only one."""
        deadline = time.monotonic() + requests[0].timeout
        try:
            return list(self._commit(requests, requests[0].timeout, self._one))
        except Refused:
            return self._commit(requests, max(deadline - time.monotonic(), 0.001), self._guarded)

    def _commit(
        self, requests: Sequence[Request], timeout: float, carry_out: Callable[[sa.Connection, Request], Outcome]
    ) -> list[Outcome]:
        try:
            if self._once:
                self._once.prepare(timeout)
            with self._database.transaction(self._what, timeout) as connection:
                return [carry_out(connection, request) for request in requests]
        except EndpointError:
            self._tables.forget()  # the schema may have changed
            raise

    def _one(self, connection: sa.Connection, request: Request) -> Reply:
        if self._once and not self._once.is_new(connection, request.key):
            return Reply(detail="took effect before")
        return Reply(detail=self._effect.carry_out(connection, request))

    def _guarded(self, connection: sa.Connection, request: Request) -> Reply | EsbError:
        """One that is refused takes back its own part; what fails for another reason fails them all."""
        try:
            with connection.begin_nested():
                return self._one(connection, request)
        except Refused as error:
            return self._named(error)
        except exc.DBAPIError as error:
            refusal = self._database.refusal(error, self._what)
            if refusal is None:
                raise
            return refusal

    def check(self, connection: sa.Connection) -> None:
        """See that the tables are as the settings say. Raises ``EndpointError``."""
        self._effect.check(connection)

    def _named(self, error: EsbError) -> EsbError:
        text = str(error)
        return error if text.startswith(f"{self._endpoint}: ") else Refused(f"{self._endpoint}: {text}")


class Effect(ABC):
    """What an operation does with a message, within a transaction."""

    @abstractmethod
    def carry_out(self, connection: sa.Connection, request: Request) -> str:
        """Do it, and say so in a short word. Raises ``Refused`` for what does not fit."""

    @abstractmethod
    def check(self, connection: sa.Connection) -> None:
        """See that what it needs is there, without an effect."""


class Statement(Effect):
    """A statement as it stands in the settings, its parameters bound."""

    def __init__(self, text: str, fields: Mapping[str, str]) -> None:
        """Args: the statement, and the field of the message for a parameter that has another name."""
        self._statement = sa.text(bindable(text))
        self._fields = {name: fields.get(name, name) for name in parameters(text)}

    def carry_out(self, connection: sa.Connection, request: Request) -> str:
        """Null is bound as NULL; a field that is not there is a mistake."""
        result = self.execute(connection, request)
        return "executed" if result.returns_rows else f"executed, {max(result.rowcount, 0)} rows"

    def execute(self, connection: sa.Connection, request: Request) -> sa.CursorResult[Any]:
        """The statement with its values bound. Raises ``Refused`` for a field that is not there."""
        values = {name: self._value(name, field, request) for name, field in self._fields.items()}
        return connection.execute(self._statement, values, execution_options={"preserve_rowcount": True})

    def check(self, connection: sa.Connection) -> None:
        """Nothing can be known without executing it."""

    def _value(self, name: str, field: str, request: Request) -> Any:
        value = getter(field)(request.document, request.words())
        if value is ABSENT:
            raise Refused(f"the message has no {field} for the parameter :{name}")
        return scalar(name, value)


class TableEffect(Effect):
    """A row of a table, and its lines in a second one."""

    def __init__(self, operation: SqlOperation, tables: Tables, backend: str) -> None:
        self._operation = operation
        self._tables = tables
        self._backend = backend
        self._key = operation.key

    def carry_out(self, connection: sa.Connection, request: Request) -> str:
        """The head first, then its lines; a delete goes the other way round."""
        operation = self._operation
        table = self._table(connection)
        values = self._values(table, request)
        if operation.kind == "delete" and operation.lines:
            self._clear_lines(connection, operation.lines, request)
        done = getattr(self, f"_{operation.kind}")(connection, table, values)
        if operation.lines and operation.kind != "delete":
            done += f", {self._write_lines(connection, operation.lines, request)} lines"
        return f"{done} in {operation.table}"

    def check(self, connection: sa.Connection) -> None:
        """The tables, their columns, and the unique index that an upsert needs."""
        self._table(connection)
        if self._operation.lines:
            self._lines_table(connection, self._operation.lines)

    # --- the head -------------------------------------------------------------------------------------------------

    def _table(self, connection: sa.Connection) -> sa.Table:
        body = (self._operation.body,) if self._operation.body else ()
        if self._operation.kind == "upsert":
            self._tables.require_unique(connection, self._operation.table, self._key)
        return self._tables.get(connection, self._operation.table, (*self._operation.values, *body))

    def _values(self, table: sa.Table, request: Request) -> Values:
        """Column -> value. What the message does not have is left out, so that defaults hold."""
        fields, words = self._operation.values, request.words()
        values = {name: required(fields[name], request.document, words) for name in self._key}
        values |= _present({name: field for name, field in fields.items() if name not in values}, request)
        found = {name: to_column(table.c[name], value) for name, value in values.items()}
        if self._operation.body:
            found[self._operation.body] = _whole(table.c[self._operation.body], request.body)
        if not found:
            raise Refused(f"the message has none of the fields for {self._operation.table}")
        return found

    def _insert(self, connection: sa.Connection, table: sa.Table, values: Values) -> str:
        connection.execute(sa.insert(table).values(values))
        return "inserted"

    def _upsert(self, connection: sa.Connection, table: sa.Table, values: Values) -> str:
        from sqlalchemy.dialects import mysql, postgresql, sqlite

        changes = {name: value for name, value in values.items() if name not in self._key}
        if self._backend == "mariadb":
            same = {self._key[0]: table.c[self._key[0]]}  # a change that changes nothing
            connection.execute(mysql.insert(table).values(values).on_duplicate_key_update(changes or same))
            return "upserted"
        insert: Any = (postgresql if self._backend == "postgresql" else sqlite).insert(table).values(values)
        key = list(self._key)
        connection.execute(
            insert.on_conflict_do_update(index_elements=key, set_=changes)
            if changes
            else insert.on_conflict_do_nothing(index_elements=key)
        )
        return "upserted"

    def _update(self, connection: sa.Connection, table: sa.Table, values: Values) -> str:
        changes = {name: value for name, value in values.items() if name not in self._key}
        if not changes:
            raise Refused(f"the message has none of the fields to change in {self._operation.table}")
        if connection.execute(sa.update(table).where(self._row(table, values)).values(changes)).rowcount == 0:
            # Fields, not their values, which may be masked, and look otherwise here than in the message.
            shown = ", ".join(f"{name} = {{{self._operation.values[name]}}}" for name in self._key)
            raise Refused(f"{self._operation.table} has no row with {shown}")
        return "updated"

    def _delete(self, connection: sa.Connection, table: sa.Table, values: Values) -> str:
        gone = connection.execute(sa.delete(table).where(self._row(table, values))).rowcount == 0
        return "nothing to delete" if gone else "deleted"

    def _row(self, table: sa.Table, values: Values) -> sa.ColumnElement[bool]:
        return sa.and_(*(table.c[name] == values[name] for name in self._key))

    # --- its lines ------------------------------------------------------------------------------------------------

    def _lines_table(self, connection: sa.Connection, lines: Lines) -> sa.Table:
        return self._tables.get(connection, lines.table, (*lines.columns, *lines.key_from_parent))

    def _tie(self, table: sa.Table, lines: Lines, request: Request) -> Values:
        words = request.words()
        fields = lines.key_from_parent.items()
        return {name: to_column(table.c[name], required(field, request.document, words)) for name, field in fields}

    def _clear_lines(self, connection: sa.Connection, lines: Lines, request: Request) -> None:
        table = self._lines_table(connection, lines)
        tie = self._tie(table, lines, request)
        connection.execute(sa.delete(table).where(*(table.c[name] == value for name, value in tie.items())))

    def _write_lines(self, connection: sa.Connection, lines: Lines, request: Request) -> int:
        """An insert adds them; an upsert or update leaves just these, so that it can be repeated."""
        table = self._lines_table(connection, lines)
        if self._operation.kind != "insert":
            self._clear_lines(connection, lines, request)
        tie = self._tie(table, lines, request)
        rows = [tie | self._line(table, lines, element, request) for element in _elements(lines, request)]
        for _, alike in groupby(rows, key=tuple):
            connection.execute(sa.insert(table), list(alike))
        return len(rows)

    def _line(self, table: sa.Table, lines: Lines, element: Any, request: Request) -> Values:
        present = _present(lines.columns, request, element)
        return {name: to_column(table.c[name], value) for name, value in present.items()}


_WHOLE = object()


def _present(fields: Mapping[str, str], request: Request, document: Any = _WHOLE) -> Values:
    """Column -> value, for those fields that are there."""
    document, words = request.document if document is _WHOLE else document, request.words()
    found = {name: getter(field)(document, words) for name, field in fields.items()}
    return {name: value for name, value in found.items() if value is not ABSENT}


def _elements(lines: Lines, request: Request) -> list[Any]:
    found = getter(lines.source)(request.document, request.words())
    if not isinstance(found, list):
        raise Refused(f"the message has no list at {lines.source} for the rows of {lines.table}")
    return found


def _whole(column: sa.Column[Any], body: bytes) -> Any:
    """The body as a binary column takes it, or as text."""
    if isinstance(declared(column), sa.types._Binary):
        return body
    try:
        return to_column(column, body.decode())
    except UnicodeDecodeError as error:
        raise Refused(f"column {column.name} takes text, and the body is not UTF-8") from error
