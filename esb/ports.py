"""What an adapter owes the bus: the one page to read before writing one.

An **adapter** speaks one protocol (files, HTTP, SQL …) for one registered **endpoint**. It moves bytes and knows
nothing of contracts, mappings or flows. A class named in the entry-point group ``esb.adapters`` is an adapter kind;
``esb.testing.adapters`` holds the scenarios that it must pass, driven by its :class:`Features`.

The obligations, for all of them:

1. ``__init__`` only stores; :meth:`Adapter.open` may touch the outside; :meth:`Adapter.close` may be called at any
   time, also twice, also without ``open``.
2. A driver's exception never leaves the adapter. Raise what is true of the *effect*: ``Unreachable`` or ``Busy`` when
   nothing can have happened, ``Interrupted`` when it may have, ``Refused`` when the other side rejects this message.
3. The ways of sending (:meth:`Adapter.send`, ``send_all``, ``took_place``) may be called from many threads at once;
   everything else from one thread at a time.
4. Every wait ends: each of them returns or raises within ``request.timeout`` seconds.
5. No retries inside: recovery belongs to the bus, which sees all attempts.
6. Nothing of a secret in an error text, a log line or a ``repr``: declare it as pydantic ``SecretStr``.
7. What comes from outside (names, header values, fields of a document) is made safe before it becomes part of a
   path, a header or a query; ``Template`` is there for names filled from a message.

An adapter imports this module, ``esb.message`` and ``esb.errors``, and nothing else of the bus.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, ClassVar, Literal, Protocol

import msgspec
from pydantic import BaseModel, ConfigDict

from esb.errors import EsbError
from esb.templates import Template, TemplateText
from esb.units import Duration, Size

__all__ = [
    "Adapter",
    "Arrival",
    "Claim",
    "Denied",
    "Doubt",
    "Duration",
    "Effect",
    "Features",
    "Format",
    "HttpRequest",
    "Record",
    "Reply",
    "Request",
    "Settings",
    "Size",
    "Template",
    "TemplateText",
]

Effect = Literal["none", "idempotent", "keyed", "unkeyed"]
Doubt = Literal["retry", "probe", "park"]  # what becomes of an unkeyed send of which nobody knows how it ended


class Settings(BaseModel):
    """Base of every settings model: unknown keys are findings, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)


class Features(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter kind can do. The suite skips what is not claimed; ``esb check`` refuses its use."""

    polls: bool = False  # claim() takes messages from the outside
    serves: bool = False  # accept() turns an HTTP request into an arrival
    sends: bool = False  # send() delivers
    keyed: bool = False  # send() passes Request.key on, so the other side can drop repeats
    replies: bool = False  # send() returns the other side's answer
    batches: bool = False  # send_all() takes several messages at a time, which is quicker than one after the other
    probes: bool = False  # took_place() finds out whether an earlier send had its effect


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One message to deliver. ``key`` is stable over retries, restarts and replays (an Idempotency-Key)."""

    operation: str
    message_id: str
    key: str
    body: bytes  # in the endpoint's format
    document: Any  # the same, parsed; for paths and file names, never to be changed
    content_type: str
    headers: Mapping[str, str]  # CloudEvents attributes and trace context, under their HTTP names
    subject: str | None = None
    time: float = 0.0  # of the message, seconds since the epoch
    timeout: float = 30.0  # seconds, for everything

    def words(self) -> dict[str, Any]:
        """What a :class:`Template` may name beside the document's fields."""
        return {
            "message_id": self.message_id,
            "subject": self.subject,
            "time": self.time,
            "key": self.key,
            "operation": self.operation,
        }


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. ``detail`` is a short word for the journey ("201", "written orders/4711.json")."""

    detail: str = ""
    body: bytes = b""
    content_type: str = ""


class Claim(Protocol):
    """One thing taken from a source (a file, a row, a mail) that nobody else will take meanwhile."""

    id: str  # of this taking: the same after a crash, another for the same content dropped again
    key: str  # what it *is*: sha256 of the content, or primary key + hash of the row
    name: str  # what people call it: a file name
    time: float  # when it came to be, seconds since the epoch
    position: int  # records already confirmed, by this owner or a dead one

    def open(self) -> BinaryIO:
        """The content from its start, as a stream; may be called more than once."""
        ...

    def advance(self, position: int) -> None:
        """Records up to ``position`` are safe in the broker; survive a crash knowing it."""
        ...


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the ingress, already limited in size. Header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """What a served request carries into the bus. ``id`` None: the source has no id of its own."""

    body: bytes
    content_type: str
    id: str | None = None
    subject: str | None = None
    traceparent: str = ""
    headers: Mapping[str, str] = {}


class Denied(Exception):  # noqa: N818 - an answer, not a failure of the bus
    """The request may not enter. ``status`` is the HTTP status (400, 401, 403 …), ``headers`` go with the answer."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


class Adapter:
    """One endpoint's door to the outside. Override what ``features`` claims; leave the rest."""

    kind: ClassVar[str]
    summary: ClassVar[str] = ""  # one line for `esb endpoints --kinds` and the reference
    features: ClassVar[Features] = Features()
    Settings: ClassVar[type[BaseModel]] = Settings  # the endpoint's `settings:`
    Operation: ClassVar[type[BaseModel]] = Settings  # what an operation may say beside contract, reply and effect
    Receive: ClassVar[type[BaseModel]] = Settings  # what `receive:` may say beside contract and poll

    def __init__(
        self,
        name: str,
        settings: Any,
        operations: Mapping[str, Any] | None = None,
        receive: Any = None,
        root: str = ".",
    ) -> None:
        """Args: the endpoint's name, its ``Settings``, its ``Operation`` by name, its ``Receive``, and the directory
        that relative paths start from."""
        self.name = name
        self.settings = settings
        self.operations = operations or {}
        self.receive = receive
        self.root = root

    @classmethod
    def problems(cls, settings: Any, operations: Mapping[str, Any], receive: Any) -> Sequence[str]:
        """What is wrong with these *together*, a sentence each; ``esb check`` shows them. Each alone is valid."""
        return ()

    @classmethod
    def effect(cls, settings: Any, operation: Any) -> Effect:
        """The effect of an operation that states none; where it is ``unkeyed``, stating ``keyed`` is a finding."""
        return "keyed" if cls.features.keyed else "unkeyed"

    @classmethod
    def can_tell(cls, settings: Any, operation: Any) -> bool:
        """Whether :meth:`took_place` can answer for this operation; else ``in_doubt: probe`` is a finding."""
        return cls.features.probes

    def open(self) -> None:
        """Get ready: pools, directories. Raises ``EndpointError`` when the outside is not there."""

    def close(self) -> None:
        """Let everything go."""

    def check(self) -> str:
        """Ask the outside for a sign of life, without an effect; a short sentence, or ``EndpointError``."""
        return "nothing to check"

    # polls ------------------------------------------------------------------------------------------------------

    def claim(self, owner: str, limit: int) -> Sequence[Claim]:
        """Take up to ``limit`` things, each marked as taken (by ``owner``) so that a crash leaves it resumable.

        What is claimed and not yet done, rejected or released comes first, whoever claimed it: the bus lets only one
        process poll an endpoint at a time, and that one finishes with its claims, or drops them, before it asks again.
        So whoever is called is the rightful heir.

        One bad thing must not block the others: raise ``EndpointError`` about it once, and go on without it.
        """
        return ()

    def done(self, claim: Claim) -> None:
        """All its records are safe: remove or archive it. Called again after a crash, so never fail on "gone"."""

    def done_all(self, claims: Sequence[Claim]) -> None:
        """The same for several, in one go where the source can. When it raises, each of them is told again later."""
        for claim in claims:
            self.done(claim)

    def reject(self, claim: Claim, reason: str) -> None:
        """It cannot be read at all: move it aside where a person finds it, with the reason."""

    def release(self, claim: Claim) -> None:
        """Give it back untouched."""

    # serves -----------------------------------------------------------------------------------------------------

    def path(self) -> tuple[str, tuple[str, ...]]:
        """Where the ingress shall listen: ``("/orders", ("POST",))``."""
        return f"/{self.name}", ("POST",)

    def admit(self, request: HttpRequest) -> None:
        """Look at a request whose body has not been read (``body`` is empty), and raise :class:`Denied` where the head
        alone says so: whoever has no credentials shall not make the bus keep a body. :meth:`accept` comes after it."""

    def accept(self, request: HttpRequest) -> Arrival:
        """Authenticate and unwrap a request, or raise :class:`Denied`."""
        return Arrival(body=request.body, content_type=request.headers.get("content-type", ""))

    # sends ------------------------------------------------------------------------------------------------------

    def send(self, request: Request) -> Reply:
        """Deliver one message and return what came back. See obligations 2 to 5."""
        return Reply()

    def send_all(self, requests: Sequence[Request]) -> Sequence[Reply | EsbError]:
        """Deliver several messages of one operation, at most as many as its ``batch:`` says; what became of each, in
        their order, where :meth:`send` would return or raise it. One that is refused does not hold up the others.

        Raises what is true of all of them. All of it within the ``timeout`` of the first.
        """
        outcomes: list[Reply | EsbError] = []
        for request in requests:
            try:
                outcomes.append(self.send(request))
            except EsbError as error:
                outcomes.append(error)
        return outcomes

    def took_place(self, request: Request) -> Reply | None:
        """Whether an earlier :meth:`send` of this message had its effect: what it came to, or None if it did not.

        Asked where nobody can know otherwise: the sender died, or no answer came. Has no effect itself; raises
        ``EndpointError`` when it cannot be said now. Obligations 2 to 5 hold here, too.
        """
        return None


class Record(msgspec.Struct, frozen=True):
    """One record of a stream. ``error`` set: it could not be read, and ``raw`` are its bytes as they came."""

    number: int  # from 1
    document: Any = None
    raw: bytes = b""
    error: str = ""


class Format(ABC):
    """Turns bytes into documents and back. Knows nothing of where the bytes come from.

    Reading streams: a file of a gigabyte never lies in memory. A record that cannot be read comes out as a
    ``Record`` with its error and bytes, and reading goes on behind it.
    """

    kind: ClassVar[str]
    summary: ClassVar[str] = ""
    content_type: ClassVar[str]
    Settings: ClassVar[type[BaseModel]] = Settings

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @abstractmethod
    def read(self, stream: BinaryIO) -> Iterator[Record]:
        """The records of a stream, in order. Raises ``DecodeError`` only when nothing at all can be read."""

    @abstractmethod
    def decode(self, body: bytes) -> Any:
        """One message's document. Raises ``DecodeError``."""

    @abstractmethod
    def encode(self, document: Any) -> bytes:
        """One document's bytes. Raises ``DecodeError`` naming the field that does not fit."""

    def join(self, raws: Sequence[bytes]) -> bytes:
        """The ``raw`` of several records of one stream, put together so that ``read`` understands them again."""
        return b"".join(raws)
