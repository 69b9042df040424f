"""A hop with FastStream on RabbitMQ and uvloop, as its documentation shows handlers and publishing."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from clock import arguments
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue
from faststream.rabbit.annotations import RabbitMessage
from faststream.rabbit.schemas import QueueType
from work import convert

PREFETCH = 1200


async def main() -> None:
    """Until all messages are through."""
    url, source, target, clock = arguments()
    broker = RabbitBroker(url, default_channel=Channel(prefetch_count=PREFETCH, publisher_confirms=True), logger=None)
    finished = asyncio.Event()
    queue = RabbitQueue(source, durable=True, queue_type=QueueType.QUORUM, declare=False)

    @broker.subscriber(queue, ack_policy=AckPolicy.MANUAL)
    async def handle(order: dict[str, Any], message: RabbitMessage) -> None:
        await broker.publish(
            convert(order), target, headers=message.headers, message_id=message.message_id, persist=True
        )
        await message.ack()
        if clock.tick():
            finished.set()

    async with broker:
        await broker.start()
        await finished.wait()
        clock.report()


if __name__ == "__main__":
    uvloop.run(main())
