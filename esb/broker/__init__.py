"""Queues, events and delays. :func:`open_broker` picks the implementation; ``port`` says what each owes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from esb.broker.port import Broker
from esb.errors import BrokerError


def open_broker(url: str, data_dir: Path | str, **options: Any) -> Broker:
    """The broker that a URL names.

    Args:
        url: ``embedded``, or ``amqp://user@host/vhost`` (``amqps://`` for TLS).
        data_dir: where the embedded broker keeps its file.
        options: handed to the implementation (``EmbeddedBroker``, ``RabbitMqBroker``).

    Raises:
        BrokerError: no implementation knows the URL.
        BrokerDown: the broker cannot be reached, or its file cannot be opened.
    """
    scheme = url.partition(":")[0]
    if scheme == "embedded":
        from esb.broker.embedded import EmbeddedBroker

        return EmbeddedBroker(data_dir, **options)
    if scheme in ("amqp", "amqps"):
        from esb.broker.rabbitmq import RabbitMqBroker

        return RabbitMqBroker(url, **options)
    raise BrokerError(f"no broker for a URL that begins with {scheme!r}: say embedded, amqp://… or amqps://…")
