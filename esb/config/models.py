"""What a bus directory may say: one pydantic model per kind of file, the single source of parsing, schema and docs.

Adapter settings, formats and steps are open sets: their models are looked up in :class:`~esb.config.components.
Components` while loading, and land here already validated (``Endpoint.settings``, ``Step.settings`` …).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from esb.broker_url import parse
from esb.config.keeping import Encryption, Parked, Retention
from esb.config.shorthand import Shorthand
from esb.errors import ConfigError
from esb.ports import Doubt, Effect, Settings
from esb.schedule import Timetable, cron, every
from esb.units import Duration, Size, duration_text


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", value):
        raise ValueError("a name is small letters, digits, - and _, and starts with a letter")
    return value


Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,62}$"})]
ContractRef = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*/v[1-9][0-9]*$", examples=["order.placed/v1"])]


class Breaker(Settings):
    """When to stop calling an endpoint, and when to try it again."""

    failures: int = Field(5, ge=1, description="Endpoint failures in a row that open the breaker.")
    reset: Duration = Field(30.0, description="How long it stays open before one probe is let through.")


class Budget(Settings):
    """How many of the calls to an endpoint may be immediate retries, so that an outage is not amplified."""

    share: float = Field(0.2, ge=0, le=10, description="Retries for each call in the window.")
    least: int = Field(10, ge=0, description="Retries in the window beside that share, for an endpoint with few calls.")
    window: Duration = Field(10.0, gt=0, description="What is counted together.")


class Recovery(Settings):
    """What happens to a failure: retry now, retry later, park."""

    retries: int = Field(2, ge=0, le=100, description="Immediate retries of an endpoint failure.")
    delays: tuple[Duration, ...] = Field((5.0, 30.0, 300.0), description="Waits before the later retries, in order.")
    give_up: Duration = Field(86400.0, description="An endpoint that stays down parks a message after this long.")
    breaker: Breaker = Breaker()
    budget: Budget = Budget()


class Records(Settings):
    """How the records of a stream become messages."""

    group_by: str | None = Field(
        None, description="Field whose value keeps neighbouring records together as one message."
    )
    batch: int | None = Field(None, ge=1, le=5000, description="Instead: so many neighbouring records are one message.")
    lines: str = Field("lines", description="Where the group's records go in the document.")
    head: tuple[str, ...] | None = Field(
        None, description="Fields taken up into the document; default: all of the first record."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Records:
        if (self.group_by is None) == (self.batch is None):
            raise ValueError("say how records become messages: either group_by: field, or batch: 500")
        if self.batch is not None and self.head is not None:
            raise ValueError("the records of a batch need have nothing in common: remove head")
        return self


class Receive(Settings):
    """How messages come in. Keys of the adapter's own (``Adapter.Receive``) stand beside these."""

    contract: ContractRef | None = Field(None, description="Each document must meet it.")
    poll: Duration = Field(5.0, description="How often a polling adapter looks.")
    duplicate: Literal["content", "name", "none"] = Field(
        "content", description="What counts as the same thing again; repeats are counted and set aside."
    )


class Operation(Settings):
    """One thing an endpoint can be asked to do. Keys of the adapter's own stand beside these."""

    contract: ContractRef | None = Field(None, description="What is sent must meet it.")
    reply: ContractRef | None = Field(None, description="What is answered must meet it; a call checks it.")
    effect: Effect | None = Field(
        None,
        description="none: a read. idempotent: again does no harm. keyed: takes an Idempotency-Key. unkeyed: neither.",
    )
    in_doubt: Doubt | None = Field(
        None,
        description="When nobody can know whether an unkeyed send took place. retry: send again. probe: ask the other "
        "side, as the operation's own keys say. park: a person decides. Default: probe where that can be asked.",
    )
    test_reply: Any = Field(None, description="What a test message is answered, in place of the other side.")
    batch: int = Field(
        1, ge=1, le=1000, description="Most messages of one call, where the adapter takes several at a time."
    )


class Endpoint(Settings):
    """One registered system interface."""

    endpoint: Name = Field(description="Its name, unique in the bus.")
    title: str = Field("", description="For people.")
    adapter: str = Field(description="What protocol this endpoint speaks.")
    owner: str = Field("", description="Who answers for the system.")
    settings: Any = Field(default_factory=dict, description="The adapter's own settings.")
    format: Any = Field("json", description="A format's name, or {name: {settings}}.")
    records: Records | None = Field(None, description="How neighbouring records become one message.")
    receive: Any = Field(None, description="Present when messages come in here.")
    operations: dict[str, Any] = Field(default_factory=dict, description="What it can be asked to do, by name.")
    test_messages: Literal["stub", "pass"] = Field(
        "stub", description="stub: what comes of a test message ends before this system. pass: it is sent there, too."
    )
    backlog: int | None = Field(
        None, ge=0, description="So many may wait for it before no more come in that would. Default: the bus's."
    )
    concurrency: int = Field(4, ge=1, le=256, description="Calls under way to this endpoint at once.")
    timeout: Duration = Field(30.0, description="For one attempt, all in all.")
    recovery: Recovery | None = Field(None, description="As in esb.yaml, and laid on it key by key.")


class Schedule(Settings):
    """When a flow starts by itself: by cron's five fields, or every so often."""

    schedule: str | None = Field(
        None,
        description="Minute, hour, day, month, weekday, as cron has them.",
        examples=["0 18 * * mon-fri"],
    )
    every: Duration | None = Field(None, description="Instead of schedule: so often, counted from the epoch.")
    tz: str = Field("UTC", description="Whose clock the schedule means.", examples=["Europe/London"])
    catch_up: bool = Field(True, description="Whether what was missed while nothing ran is made up for, once.")

    def timetable(self) -> Timetable:
        """The moments it means. Raises ``ValueError``, saying what is wrong."""
        if self.every is not None:
            return every(self.every, duration_text(self.every))
        return cron(self.schedule or "", self.tz)


class TestMessage(Schedule):
    """A message that is no business: it shows whether the flow works, and no system behind an endpoint hears of it."""

    document: Any = Field(description="Its document, as one that comes from the flow's source.")
    subject: str | None = Field(None, description="The business key; by default what the contract's x-subject gives.")
    within: Duration = Field(60.0, gt=0, description="How long it may take to its end.")
    reaches: tuple[str, ...] = Field((), description="Endpoints to which something of it must be on its way.")


class Ordering(Shorthand):
    """``ordering: customer.id``: messages with the same value go one after the other."""

    short: ClassVar[str] = "by"
    by: str = Field(description="A JSONata expression giving text or a number: what is in order is in order by this.")


class Flow(Settings):
    """From one source through steps to endpoints and events."""

    flow: Name = Field(description="Its name, unique in the bus.")
    title: str = Field("", description="For people.")
    source: str | Schedule = Field(
        alias="from", description="An endpoint's name, an event such as order.placed/v1, or {schedule: …, tz: …}."
    )
    backlog: int | None = Field(
        None, ge=0, description="So many may wait for it before no more come in at its source. Default: the bus's."
    )
    ordering: Ordering | None = Field(
        None, description="Messages of one key keep their order on all their way; one that fails holds up the others."
    )
    steps: Any = Field(description="What happens, in order: one step or a list of steps.")
    test_message: TestMessage | None = Field(
        None, description="Sent through the flow by a schedule or by hand, marked, and kept out of business."
    )
    on_error: Any = Field(None, description="What happens instead when a step fails: $error tells why.")


class Mapping(Settings):
    """How one document becomes another: the target's shape, an expression at each leaf."""

    mapping: Name = Field(description="Its name, unique in the bus.")
    title: str = Field("", description="For people.")
    source: ContractRef | None = Field(
        None, alias="from", description="Contract of what it reads; its expressions are checked against it."
    )
    target: ContractRef | None = Field(
        None, alias="to", description="Contract of what it makes; every result must meet it."
    )
    lookups: dict[Name, str] = Field(
        default_factory=dict, description="Function name: CSV file (key in the first column)."
    )
    set: dict[str, Any] = Field(min_length=1, description="The shape of the result: fields by name, a leaf at each.")


class InlineMapping(Settings):
    """A mapping written where it is used: ``map: {to: order/v1, set: {…}}``."""

    target: ContractRef | None = Field(
        None, alias="to", description="Contract of what it makes; every result must meet it."
    )
    set: dict[str, Any] = Field(min_length=1, description="The shape of the result: fields by name, a leaf at each.")


MappingRef = str | InlineMapping  # a mapping's name, or one written in place


class SagaRecovery(Settings):
    """What becomes of a call that must succeed, once its endpoint's own recovery is used up."""

    delays: tuple[Duration, ...] = Field(
        (), description="Waits before it is tried again, in order; behind the last a person is asked."
    )


class Compensation(Shorthand):
    """``endpoint.operation``, or ``{call: endpoint.operation, with: mapping}``."""

    short: ClassVar[str] = "call"
    call: str = Field(description="endpoint.operation that undoes the step.")
    mapping: MappingRef | None = Field(
        None,
        alias="with",
        description="Makes what is sent from the saga's document; default: what the step sent, its answer laid on top.",
    )
    recovery: SagaRecovery | None = Field(None, description="Instead of the saga's.")


class SagaStep(Settings):
    """One step of a saga: an action, and what undoes it."""

    name: Name = Field(description="Its name, unique in the saga.")
    call: str = Field(description="endpoint.operation, or an endpoint that has just one operation.")
    mapping: MappingRef | None = Field(
        None, alias="with", description="Makes what is sent from the saga's document; default: the document itself."
    )
    answer: str | None = Field(
        None, alias="as", pattern=r"^[A-Za-z_]\w*$", description="Where the answer goes in the saga's document."
    )
    compensate: Compensation | None = Field(None, description="What undoes the step.")
    pivot: bool = Field(False, description="The step behind which there is no way back.")
    timeout: Duration | None = Field(None, description="Longest wait for the answer; then the saga turns back.")


class SagaEvent(Shorthand):
    """An event such as ``order.confirmed/v1``, or ``{publish: order.confirmed/v1, with: mapping}``."""

    short: ClassVar[str] = "publish"
    publish: ContractRef = Field(description="The event's type and version.")
    mapping: MappingRef | None = Field(
        None, alias="with", description="Makes the event from the saga's document; default: the document itself."
    )


class Saga(Settings):
    """Steps at several systems that all take place, or are undone in reverse."""

    saga: Name = Field(description="Its name, unique in the bus.")
    title: str = Field("", description="For people.")
    source: str = Field(alias="from", description="What starts it: an event such as order.placed/v1, or an endpoint.")
    key: str = Field(description="Expression for the business key: one saga of a key runs at a time.")
    steps: tuple[SagaStep, ...] = Field(min_length=1, description="The steps, in order.")
    timeout: Duration | None = Field(None, description="Longest time up to the pivot; then the saga turns back.")
    recovery: SagaRecovery = Field(
        SagaRecovery(), description="Of calls that must succeed: compensations, and steps behind the pivot."
    )
    completed: SagaEvent | None = Field(None, description="Published when all steps took place.")
    compensated: SagaEvent | None = Field(None, description="Published when what took place is undone.")


class Http(Settings):
    """Where the ingress listens."""

    host: str = Field("127.0.0.1", description="Loopback unless you say otherwise.")
    port: int = Field(8480, ge=0, le=65535, description="0 takes any that is free, and says which.")
    max_body: Size = Field(8 * 1024**2, description="Larger requests are answered 413.")


class Admin(Settings):
    """The admin interface: pages for those who watch the traffic and repair it."""

    enabled: bool = Field(True, description="false: `esb run` does not serve it.")
    host: str = Field("127.0.0.1", description="Loopback unless you say otherwise.")
    port: int = Field(
        8481, ge=0, le=65535, description="0 takes any that is free, and says which. ESB_ADMIN_PORT goes before."
    )
    url: str = Field(
        "",
        pattern=r"^(https?://[A-Za-z0-9.\[\]:-]+)?$",
        description="The address people use, when a reverse proxy stands before it: https://esb.example.org. "
        "With https, cookies are sent over https only.",
    )
    hosts: tuple[str, ...] = Field((), description="More host names that a request may be for; others are refused.")
    idle: Duration = Field(2 * 3600.0, description="Whoever does nothing for so long has to sign in again.")
    session: Duration = Field(12 * 3600.0, description="After this long everybody has to sign in again.")


class Worker(Settings):
    """How the bus role works."""

    processes: int = Field(
        1, ge=1, le=64, description="How many processes `esb run` starts for the role bus. They share `concurrency`."
    )
    batch: int = Field(150, ge=1, le=5000, description="Messages settled together at most; fewer where they take long.")
    prefetch: int = Field(1200, ge=1, le=65535, description="Messages held per flow consumer, up to 64 MB of them.")
    lease: Duration = Field(15.0, description="After this long a silent process counts as dead.")
    drain: Duration = Field(30.0, description="Time to finish what is under way on a stop.")
    memory: Size = Field(1024**3, description="A bus process larger than this is restarted.")


def _broker(value: str) -> str:
    if value != "embedded" and not re.match(r"amqps?://\S+$", value):
        raise ValueError("a broker is embedded, or amqp://user@host/vhost (amqps:// for TLS)")
    if value != "embedded":
        _readable(value)
    return value


def _readable(url: str) -> None:
    try:
        parse(url)
    except ConfigError as error:
        raise ValueError(str(error)) from None


def _database(value: str) -> str:
    if value != "embedded" and not re.match(r"postgresql(\+psycopg)?://\S+$", value):
        raise ValueError("a database is embedded, or postgresql://user@host/name")
    return value


BrokerUrl = Annotated[
    str,
    AfterValidator(_broker),
    WithJsonSchema({"type": "string", "pattern": "^embedded$|^amqps?://|^secret:(env|file):"}),
]
DatabaseUrl = Annotated[
    str,
    AfterValidator(_database),
    WithJsonSchema({"type": "string", "pattern": r"^embedded$|^postgresql(\+psycopg)?://|^secret:(env|file):"}),
]


class BusConfig(Settings):
    """``esb.yaml``: what holds for the whole bus."""

    bus: Name = Field("bus", description="The bus's name, for people.")
    broker: BrokerUrl = Field(
        "embedded",
        repr=False,
        description="embedded, or amqp://user:${PASSWORD}@host/vhost (amqps:// for TLS). ESB_BROKER goes before.",
    )
    database: DatabaseUrl = Field(
        "embedded",
        repr=False,
        description="embedded, or postgresql://user:${PASSWORD}@host/name. ESB_DATABASE goes before.",
    )
    data: str = Field("data", description="Directory of the embedded broker and database.")
    probe: Duration | Literal["off"] = Field(
        60.0, description="How often each endpoint is asked for a sign of life, for people to see; or off."
    )
    journey: Literal["full", "headers", "errors"] = Field(
        "full",
        description="full: headers and body at each place. headers: no bodies. errors: both only of what is parked.",
    )
    http: Http = Http()
    admin: Admin = Admin()
    backlog: int = Field(
        1_000_000,
        ge=0,
        description="So many messages wait in a queue, and no more come in where they would get to it: HTTP in answers "
        "503, polls rest. 0: any number.",
    )
    recovery: Recovery = Recovery()
    retention: Retention = Retention()
    parked: Parked = Parked()
    encryption: Encryption = Encryption()
    worker: Worker = Worker()
