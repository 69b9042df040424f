"""What a SQL endpoint may say: where the database is, which rows come in and how they are marked, what goes out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from esb.adapters.sql.text import parameters, sql_condition, sql_query, sql_statement
from esb.ports import Duration, Settings, Template

_WORD = r"[^\W\d][\w$#-]*(?: [\w$#-]+)*"  # what legacy schemas call things: spaces and umlauts too, never a quote
_NAME = re.compile(_WORD)
_TABLE = re.compile(rf"(?:{_WORD}\.)?{_WORD}")
_ORDER = re.compile(rf"({_WORD}?)(?: (asc|desc))?", re.IGNORECASE)
_PATH = re.compile(r"[^\s.{}]+(?:\.[^\s.{}]+)*")
_BACKENDS = {"sqlite": "sqlite", "postgresql": "postgresql", "mariadb": "mariadb", "mysql": "mariadb"}

Scalar = str | int | None
Kind = Literal["insert", "upsert", "update", "delete", "execute", "select"]
_KINDS: tuple[Kind, ...] = ("insert", "upsert", "update", "delete", "execute", "select")


def _name(text: str) -> str:
    if len(text) > 63 or not _NAME.fullmatch(text):
        raise ValueError("the name of a column is needed: letters, digits and _, without quotes")
    return text


def _table(text: str) -> str:
    if len(text) > 127 or not _TABLE.fullmatch(text):
        raise ValueError("the name of a table is needed, such as orders or sales.orders, without quotes")
    return text


def _field(text: str) -> str:
    if "{" in text or "}" in text:
        Template(text)
    elif not _PATH.fullmatch(text):
        raise ValueError("a field of the message is needed, such as customer.id, or a text such as {message_id}")
    return text


def _list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _pairs(value: Any) -> Any:
    """A list of names stands for pairs of equal names."""
    return {name: name for name in value} if isinstance(value, list | tuple) and value else value


Column = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string"})]
Table = Annotated[str, AfterValidator(_table), WithJsonSchema({"type": "string"})]
FieldText = Annotated[str, AfterValidator(_field), WithJsonSchema({"type": "string"})]
_OneOrMore = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
Columns = Annotated[tuple[Column, ...], BeforeValidator(_list), WithJsonSchema(_OneOrMore)]
Pairs = Annotated[
    dict[Column, FieldText],
    BeforeValidator(_pairs),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "object", "additionalProperties": {"type": "string"}},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]


def backend(url: str) -> str:
    """Which database a URL is for: ``sqlite``, ``postgresql`` or ``mariadb``. Raises ``ValueError``."""
    found = _BACKENDS.get(urlsplit(url).scheme)
    if found is None:
        raise ValueError("sqlite:///file.db, postgresql://user@host/name or mariadb://user@host/name is needed")
    return found


def _url(url: str | SecretStr) -> str | SecretStr:
    if isinstance(url, SecretStr):
        if url.get_secret_value():  # empty: the reference leads nowhere, which is a finding of its own
            backend(url.get_secret_value())
        return url
    backend(url)
    if urlsplit(url).password is not None:
        raise ValueError("no password in the address: put it under password, or make all of url a secret:env:NAME")
    return url


class Status(Settings):
    """A column that says how far each row is."""

    column: Column = Field(description="Where the state stands.")
    new: Scalar = Field("N", description="Rows to take.")
    taken: Scalar = Field("T", description="Taken by the bus, not finished yet.")
    done: Scalar = Field("D", description="All that was in it is in the bus.")
    error: Scalar = Field("E", description="Its content cannot be read.")
    mark: Column | None = Field(
        None, description="Text column (120 characters) that takes who took the row and when; keeps a taking apart."
    )
    reason: Column | None = Field(None, description="Text column that takes why a row cannot be read.")

    @model_validator(mode="after")
    def _apart(self) -> Status:
        if len({self.new, self.taken, self.done, self.error}) < 4:
            raise ValueError("new, taken, done and error must differ")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that belong to the marking, not to the message."""
        return tuple(name for name in (self.column, self.mark, self.reason) if name)


class Seen(Settings):
    """How to know new rows of a table that must not be changed: by remembering all that were seen."""

    time: Column | None = Field(
        None,
        description="Date, time or rising number of a row's writing; without it all rows are read each time.",
    )
    overlap: Duration = Field(
        600.0, description="How far behind the newest row to look again: longer than the longest transaction."
    )


def _unused(given: Iterable[str], statement: str) -> str:
    unused = sorted(set(given) - set(parameters(statement)))
    return f"the statement has no :{unused[0]}" if unused else ""


class SqlSettings(Settings):
    """A database, and the table that is received from."""

    url: Annotated[str | SecretStr, AfterValidator(_url)] = Field(
        description="sqlite:///file.db (relative to the bus directory), postgresql://user@host/name or "
        "mariadb://user@host/name; with a password in it, a secret by reference."
    )
    password: SecretStr | None = Field(None, description="A secret by reference.")
    connect_timeout: Duration = Field(5.0, ge=1, description="For a connection to come about.")
    table: Table | None = Field(None, description="Table or view whose rows are received.")
    key: Columns = Field((), description="The columns that identify a row.")
    columns: Columns = Field((), description="What a message holds, beside the key; all but the marking when left out.")
    body: Column | None = Field(None, description="A column that is the whole message, in the endpoint's format.")
    text: Columns = Field((), description="Columns whose numbers become text, whatever their length.")
    time: Column | None = Field(None, description="When a row came to be: the message's time.")
    where: Annotated[str, AfterValidator(sql_condition)] = Field("", description="SQL condition for the rows to take.")
    order: Annotated[tuple[str, ...], BeforeValidator(_list), WithJsonSchema(_OneOrMore)] = Field(
        (), description="Columns to take rows by, such as [priority desc, id]; the key when left out."
    )
    status: Status | None = Field(None, description="Mark rows in a column of theirs.")
    delete: bool = Field(False, description="Delete rows when they are done.")
    seen: Seen | None = Field(None, description="Change nothing, and remember what was seen.")
    notes: str = Field(
        "data/{endpoint}.notes.db",
        min_length=1,
        description="File for what a table cannot remember itself; relative to the bus directory.",
    )
    inbox_table: Table | None = Field(
        None, description="Table in this database that remembers what was sent, so that nothing takes effect twice."
    )
    create_inbox: bool = Field(False, description="Make the inbox table when it is missing.")

    @field_validator("order")
    @classmethod
    def _columns(cls, order: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_ORDER.fullmatch(one) for one in order):
            raise ValueError("columns are needed, each with asc or desc behind it or nothing: [priority desc, id]")
        return order

    @model_validator(mode="after")
    def _whole(self) -> SqlSettings:
        ways = sum((self.status is not None, self.delete, self.seen is not None))
        if self.table and not self.key:
            raise ValueError("key is missing: the columns that identify a row of the table")
        if self.table and ways != 1:
            raise ValueError("say how rows are taken: exactly one of status, delete: true and seen")
        if not self.table and (ways or self.model_fields_set & {"key", "columns", "body", "time", "where", "order"}):
            raise ValueError("table is missing: the one whose rows are received")
        if self.body and self.columns:
            raise ValueError("body is the whole message, so there is no place for columns")
        if self.seen and self.order:
            raise ValueError("with seen, rows come in the order of seen.time and the key")
        if self.create_inbox and not self.inbox_table:
            raise ValueError("create_inbox needs the name to give: inbox_table")
        return self

    @property
    def address(self) -> str:
        """The URL, which may hold a secret."""
        return self.url.get_secret_value() if isinstance(self.url, SecretStr) else self.url

    def sorting(self) -> list[tuple[str, bool]]:
        """(column, descending) in order."""
        matches = [_ORDER.fullmatch(one) for one in self.order]
        return [(m[1], (m[2] or "").lower() == "desc") for m in matches if m] or [(name, False) for name in self.key]


class Lines(Settings):
    """Rows of a second table, one for each element of a list in the message, in the same transaction."""

    table: Table = Field(description="Where they go.")
    source: FieldText = Field(alias="from", description="The list in the message.")
    columns: Pairs = Field(description="Column: field of the element; or a list of names that are the same on both.")
    key_from_parent: Pairs = Field(description="Column: field of the message that ties the lines to their head.")


class Probe(Settings):
    """How to find out whether a statement that nobody heard the end of took effect."""

    select: Annotated[str, AfterValidator(sql_query)] = Field(
        description="One SELECT with :name for each value. A row means: it took place; none: it did not."
    )
    parameters: Pairs = Field(
        default_factory=dict, description="Name: field of the message; the one of that name when left out."
    )

    @model_validator(mode="after")
    def _used(self) -> Probe:
        if problem := _unused(self.parameters, self.select):
            raise ValueError(problem)
        return self


class SqlOperation(Settings):
    """One statement, filled from the message. Exactly one of insert, upsert, update, delete, execute and select."""

    insert: Table | None = Field(None, description="Add a row to this table.")
    upsert: Table | None = Field(None, description="Add a row to this table, or change the one with its key.")
    update: Table | None = Field(None, description="Change the row with its key in this table.")
    delete: Table | None = Field(None, description="Delete the row with its key from this table.")
    execute: Annotated[str, AfterValidator(sql_statement)] | None = Field(
        None, description="One SQL statement with :name for each value."
    )
    select: Annotated[str, AfterValidator(sql_query)] | None = Field(
        None, description="One SELECT with :name for each value; its rows are the answer to a call."
    )
    one: bool = Field(False, description="For select. The first row is the answer, or null; otherwise a list of rows.")
    key: Columns = Field((), description="The columns that identify the row; they are among the columns.")
    columns: Pairs = Field(
        default_factory=dict,
        description="Column: field of the message (customer.id), or text with fields ({message_id}); "
        "or a list of names that are the same on both sides.",
    )
    body: Column | None = Field(None, description="A column that takes the whole message, in the endpoint's format.")
    parameters: Pairs = Field(
        default_factory=dict,
        description="For execute and select. Name: field of the message; the one of that name when left out.",
    )
    lines: Lines | None = Field(None, description="Rows of a second table, from a list in the message.")
    probe: Probe | None = Field(None, description="For what is unkeyed: how to find out whether it took effect.")

    @model_validator(mode="after")
    def _one(self) -> SqlOperation:
        if sum(getattr(self, kind) is not None for kind in _KINDS) != 1:
            raise ValueError("give exactly one of insert, upsert, update, delete, execute and select")
        if self.one and not self.select:
            raise ValueError("one is for select")
        problem = self._statement_problem() if self.execute or self.select else self._table_problem()
        if problem:
            raise ValueError(problem)
        return self

    def _statement_problem(self) -> str:
        if self.key or self.columns or self.body or self.lines:
            return f"{self.kind} has parameters, and none of key, columns, body and lines"
        if self.select and self.probe:
            return "a select has no effect, so there is nothing to probe"
        return _unused(self.parameters, self.execute or self.select or "")

    def _table_problem(self) -> str:
        if self.parameters:
            return "parameters are for execute and select; a table has columns"
        if self.insert is None and not self.key:
            return "key is missing: the columns that identify the row"
        if self.insert is not None and self.key:
            return "an insert has no key; to change a row that is there already, say upsert"
        if self.delete is None and not self.columns and not self.body:
            return "columns are missing: what to write"
        if self.update is not None and not (set(self.columns) - set(self.key) or self.body):
            return "only the key is among the columns: there is nothing to change"
        return ""

    @property
    def kind(self) -> Kind:
        """Which of the six it is."""
        return next(kind for kind in _KINDS if getattr(self, kind))

    @property
    def table(self) -> str:
        """The table it writes to; empty for a statement."""
        return self.insert or self.upsert or self.update or self.delete or ""

    @property
    def values(self) -> dict[str, str]:
        """Column -> field; a key that is not among the columns is a field of the same name."""
        return {name: name for name in self.key if name not in self.columns} | dict(self.columns)
