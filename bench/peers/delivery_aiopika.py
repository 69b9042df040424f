"""HTTP out with aio-pika and aiohttp: take, call, acknowledge; sixteen calls at once.

python delivery_aiopika.py URL QUEUE SYSTEM
"""

from __future__ import annotations

import asyncio
import sys

import aio_pika
import aiohttp
import uvloop

CONCURRENCY = 16


async def main() -> None:
    """Until it is ended."""
    url, source, system = sys.argv[1:4]
    connection = await aio_pika.connect(url)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=2 * CONCURRENCY)
    connector = aiohttp.TCPConnector(limit=CONCURRENCY)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def handle(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            headers = {"Content-Type": "application/json", "Idempotency-Key": message.message_id or ""}
            async with session.post(f"{system}/picks", data=message.body, headers=headers) as answer:
                answer.raise_for_status()
                await answer.read()
            await message.ack()

        await (await channel.get_queue(source)).consume(handle)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
