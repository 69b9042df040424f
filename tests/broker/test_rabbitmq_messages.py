"""Messages as they lie in RabbitMQ: foreign ones here, ours elsewhere, and what AMQP has no room for."""

from __future__ import annotations

from typing import Any

import amqp
import kombu
import msgspec
import pytest
from traffic import (
    CONFIRMED,
    PATIENCE,
    bare,
    both_ways,
    commands,
    order,
    publish,
)

from esb.broker.port import Outgoing
from esb.broker.rabbitmq import RabbitMqBroker, wire
from esb.broker.rabbitmq.decoder import Decoder
from esb.broker.rabbitmq.readers import Raw
from esb.errors import MessageError
from esb.message import create

pytestmark = pytest.mark.rabbitmq


METHOD = b"\x00\x3c\x00\x3c\x010" + b"\x00" * 8 + b"\x00\x00\x00"  # a delivery of consumer "0"
FOREIGN: list[dict[str, Any]] = [
    {},
    {"content_type": "text/plain", "message_id": "m-1"},
    {"application_headers": {"compression": "application/x-gzip", "n": 1, "deep": {"a": [1, {"b": None}]}}},
    {"content_encoding": "gzip", "content_type": "application/x-python-serialize"},
    {
        "application_headers": {
            "x-death": [{"count": 1}],
            "CC": ["b"],
            "x-delivery-count": 3,
            "cloudEvents:time": "soon",
        }
    },
    {"content_type": "a/b", "application_headers": {"a": "b"}, "delivery_mode": 2, "message_id": "m-2"},  # as we write
    {"content_type": b"\xff"},  # py-amqp cannot read it
    {"application_headers": {b"\xff": b"\xff", "n": 1}},
    {"content_encoding": "latin-1", "content_type": "text/plain"},
]


@both_ways
@pytest.mark.parametrize("properties", FOREIGN)
def test_a_foreign_message_is_a_message(broker: RabbitMqBroker, url: str, properties: dict[str, Any]) -> None:
    """Whatever its headers, its body arrives untouched, and what the broker noted in them goes no further."""
    body = b"\x80\x04not json\xff"
    with kombu.Connection(bare(url)) as connection:
        connection.channel().basic_publish(amqp.Message(body, **properties), exchange="", routing_key="a")
    consumer = broker.consumer(["a"], 1)
    (delivery,) = consumer.take(1, PATIENCE)
    assert delivery.message.body == body
    assert not {"x-death", "CC", "x-delivery-count"} & set(delivery.message.headers)
    assert delivery.message.id == properties.get("message_id", delivery.message.id)
    consumer.settle([delivery])
    consumer.close()


@both_ways
def test_a_kombu_client_reads_our_messages(broker: RabbitMqBroker, url: str) -> None:
    """Persistent, with message id, content type and CloudEvents headers, as any AMQP client sees them."""
    message = create(b"{}", type="order", source="pos", subject="4711", headers={"ö": "ü"})
    publish(broker, [Outgoing(message, "a")])
    with kombu.Connection(bare(url)) as connection:
        found = connection.channel().basic_get("a", no_ack=True)
    assert found.body == b"{}"
    assert found.properties["message_id"] == message.id
    assert (found.properties["content_type"], found.properties["delivery_mode"]) == ("application/json", 2)
    assert found.headers["cloudEvents:subject"] == "4711"
    assert found.headers["ö"] == "ü"


@both_ways
def test_headers_that_do_not_fit_are_refused_before_anything_is_sent(broker: RabbitMqBroker) -> None:
    """AMQP holds all headers in one frame; the message is named, and the publisher goes on."""
    publisher = broker.publisher()
    large = msgspec.structs.replace(order(1), headers={"n": "1", "h": "x" * 200_000})
    with pytest.raises(MessageError, match=large.id):
        publisher.publish([Outgoing(order(0), "a"), Outgoing(large, "a")])
    assert publisher.publish(commands(1)) == [CONFIRMED]
    publisher.close()
    assert broker.depths(["a"])["a"].ready == 1


def test_long_ids_and_content_types_are_cut_in_the_envelope_only() -> None:
    """AMQP's short strings hold 255 bytes; the message's own id is whole."""
    message = create(b"", id="ü" * 300, type="t", source="s", content_type="text/" + "x" * 300)
    frames = wire.Encoder(1, 131072).publish("", "a", message, {})
    assert b"t" in frames
    header = frames[frames.index(b"\xce") + 8 : -1]
    assert Decoder().decode(Raw(METHOD, header, b""))[0].id == message.id


@pytest.mark.parametrize("position", range(0, 60, 7))
def test_a_broken_header_never_costs_the_body(position: int) -> None:
    """Bytes that are no header at all still give a message."""
    frames = wire.Encoder(1, 131072).publish("", "a", order(1), {})
    whole = frames[frames.index(b"\xce") + 8 : -1]
    header = bytearray(whole)
    header[12 + position : 13 + position] = b"\xff"
    decoder = Decoder()
    for header_at_hand in (whole, bytes(header), bytes(header[:position]), whole):
        assert decoder.decode(Raw(METHOD, header_at_hand, b"body"))[0].body == b"body"
