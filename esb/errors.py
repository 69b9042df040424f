"""Every error of the bus, and what recovery may conclude from each.

::

    EsbError
    ├── ConfigError            the directory has findings
    ├── MessageError           this message cannot pass; another one might (parked, never retried)
    │   ├── DecodeError        bytes are not the format they claim to be
    │   ├── ContractError      a document breaks its JSON Schema
    │   ├── ExpressionError    a JSONata expression failed or gave the wrong kind of value
    │   ├── MappingError       a leaf of a mapping failed; names file, line, leaf and value
    │   ├── RoutingError       a command has nowhere to go
    │   ├── InternalError      a fault of the bus itself that this message brought to light
    │   └── Refused            the system beyond the endpoint said no to this message
    ├── Paused                 a person has stopped the endpoint
    ├── EndpointError          the system beyond the endpoint is at fault (retried; counted by the breaker)
    │   ├── Unreachable        nothing was sent: certainly no effect
    │   ├── Busy               it answered "not now": certainly no effect; may say when
    │   └── Interrupted        sent, but no answer: the effect is unknown
    ├── BrokerError
    │   ├── BrokerDown         no connection; what was not confirmed is unknown
    │   │   └── LoginRefused   it is there, and does not let us in: waiting does not help
    │   ├── QueueFull          the broker does not take more now
    │   └── LeaseLost          somebody else owns these deliveries now
    └── StoreError
        ├── StoreDown          no connection or locked; the commit did not happen or is unknown
        └── RowRefused         the database refuses a value of this row

A driver's exception never leaves the module that speaks to the driver: it is raised ``from`` as one of these.
"""

from __future__ import annotations

from typing import Any, TypeVar

_Error = TypeVar("_Error", bound=BaseException)


class EsbError(Exception):
    """Root of all. ``kind`` is the stable word that failures are grouped by."""

    kind = "error"


class ConfigError(EsbError):
    """The configuration has findings; ``findings`` holds them, sorted by file and line."""

    kind = "config"

    def __init__(self, message: str, findings: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.findings = findings


class MessageError(EsbError):
    """The message is at fault. Trying again without a change gives the same."""

    kind = "message"


class DecodeError(MessageError):
    """Bytes could not be read as (or a document not be written in) the endpoint's format."""

    kind = "decode"


class ContractError(MessageError):
    """A document breaks its contract; ``violations`` lists ``(json pointer, sentence)`` pairs."""

    kind = "contract"

    def __init__(self, message: str, contract: str = "", violations: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.contract = contract
        self.violations = violations


class ExpressionError(MessageError):
    """An expression failed, ran into a limit, or gave a value of the wrong kind."""

    kind = "expression"


class MappingError(MessageError):
    """One leaf of a mapping failed. ``leaf`` is its path in the target, ``where`` its ``file:line``."""

    kind = "mapping"

    def __init__(self, message: str, leaf: str = "", where: str = "") -> None:
        super().__init__(message)
        self.leaf = leaf
        self.where = where


class RoutingError(MessageError):
    """A command was returned by the broker: its queue does not exist."""

    kind = "routing"


class InternalError(MessageError):
    """A fault of the bus that this message brought to light; it is parked so that somebody sees it."""

    kind = "internal"


class Refused(MessageError):
    """The system beyond the endpoint understood the message and said no (HTTP 4xx, a constraint, …)."""

    kind = "refused"


class Paused(EsbError):
    """A person has stopped the endpoint; whoever comes in through it tries again later."""

    kind = "paused"


class EndpointError(EsbError):
    """The system beyond the endpoint failed. ``effect_unknown``: it may have acted all the same."""

    kind = "endpoint"
    effect_unknown = False


class Unreachable(EndpointError):
    """No connection came about, so nothing was sent and nothing can have happened."""

    kind = "unreachable"


class Busy(EndpointError):
    """The system answered that it cannot take the message now. ``retry_after``: seconds, if it said so."""

    kind = "busy"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Interrupted(EndpointError):
    """The request went out and no proper answer came back: time-out, reset, or a server error."""

    kind = "interrupted"
    effect_unknown = True


class BrokerError(EsbError):
    """The broker refused or failed."""

    kind = "broker"


class BrokerDown(BrokerError):
    """The broker cannot be reached. Messages not yet confirmed may or may not have arrived."""

    kind = "broker down"


class LoginRefused(BrokerDown):
    """The broker refuses user, password or virtual host; only a change of the configuration (or of its own) helps."""

    kind = "login refused"


class QueueFull(BrokerError):
    """A queue is over its limit, or the broker would not vouch for a message: the same can be published later."""

    kind = "queue full"


class LeaseLost(BrokerError):
    """The deliveries were taken back from this consumer; their settlement was not carried out."""

    kind = "lease lost"


class StoreError(EsbError):
    """The store refused or failed. ``transient``: the same transaction may be tried again at once."""

    kind = "store"
    transient = False


class StoreDown(StoreError):
    """The store cannot be reached or stays locked. A commit under way has an unknown outcome."""

    kind = "store down"


class RowRefused(StoreError):
    """The database refuses a value (a NUL character, a lone surrogate, a size)."""

    kind = "row refused"


def without_frames(error: _Error) -> _Error:
    """The same error, letting go of the frames that it and its causes came through.

    For an error that is kept: frames hold on to documents, and an error kept by one of its own frames is a cycle, which
    the collector may find on a thread where the documents' engine handles must not be dropped.
    """
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            waiting += [each.__cause__, each.__context__]
    return error
