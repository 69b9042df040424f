"""A hop with aio-pika on uvloop: many messages at once, each confirmed before it is acknowledged."""

from __future__ import annotations

import asyncio

import aio_pika
import orjson
import uvloop
from clock import arguments
from work import convert

PREFETCH = 1200


async def main() -> None:
    """Until all messages are through."""
    url, source, target, clock = arguments()
    incoming, outgoing = await aio_pika.connect(url), await aio_pika.connect(url)
    taking = await incoming.channel()
    await taking.set_qos(prefetch_count=PREFETCH)
    exchange = (await outgoing.channel(publisher_confirms=True)).default_exchange
    finished = asyncio.Event()

    async def handle(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        body = orjson.dumps(convert(orjson.loads(message.body)))
        result = aio_pika.Message(
            body, headers=message.headers, message_id=message.message_id, content_type=message.content_type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )  # fmt: skip
        await exchange.publish(result, target)
        await message.ack()
        if clock.tick():
            finished.set()

    queue = await taking.get_queue(source)
    await queue.consume(handle)
    await finished.wait()
    clock.report()
    await incoming.close()
    await outgoing.close()


if __name__ == "__main__":
    uvloop.run(main())
