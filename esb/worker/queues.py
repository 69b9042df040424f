"""Which queues a definition's messages wait in."""

from __future__ import annotations

from itertools import chain

from esb.broker.port import Broker, endpoint_queue, flow_queue, inbound_queue, line_queues, saga_queue
from esb.config.definition import Definition, LoadedFlow
from esb.flow.usage import targets
from esb.message import Message

_KINDS = {flow_queue(""): "flow", endpoint_queue(""): "out", inbound_queue(""): "in", saga_queue(""): "saga"}


def queue_of(flow: LoadedFlow) -> str:
    """Where messages for a flow wait."""
    return flow_queue(flow.name, ordered=bool(flow.ordering))


def place_of(to: str, message: Message, event: bool) -> str:
    """The place at which a message is that goes to this queue or, with ``event``, to whoever wants it."""
    if event:
        return f"event:{message.contract}"
    for beginning, kind in _KINDS.items():
        if to.startswith(beginning):
            return f"{kind}:{to.removeprefix(beginning).partition('.')[0]}"
    return f"queue:{to}"


def lined_up(definition: Definition) -> list[str]:
    """Endpoints that flows send to which keep the order of their messages, sorted."""
    return sorted(definition.once(_lined_up))


def queues_left(broker: Broker, definition: Definition, endpoint: str) -> tuple[str, ...]:
    """The same, and where they lay while a flow kept their order that does so no more. Raises ``BrokerDown``."""
    queues, lines = queues_to(definition, endpoint), line_queues(endpoint)
    left = len(queues) == 1 and lines[0] in broker.depths(lines[:1])
    return (*queues, *lines) if left else queues


def queues_to(definition: Definition, endpoint: str) -> tuple[str, ...]:
    """Where messages to be sent to an endpoint wait."""
    lines = line_queues(endpoint) if endpoint in definition.once(_lined_up) else ()
    return (endpoint_queue(endpoint), *lines)


def _lined_up(definition: Definition) -> frozenset[str]:
    ordered = (flow for flow in definition.flows.values() if flow.ordering)
    return frozenset(definition.endpoints).intersection(chain.from_iterable(map(targets, ordered)))
