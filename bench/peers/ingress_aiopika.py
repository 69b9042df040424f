"""HTTP in with Starlette on uvicorn and aio-pika: validate, publish confirmed, answer 202.

python ingress_aiopika.py URL QUEUE PORT
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from work import check_order

url, queue, port = sys.argv[1:4]


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Connected while it serves."""
    connection = await aio_pika.connect(url)
    app.state.exchange = (await connection.channel(publisher_confirms=True)).default_exchange
    yield
    await connection.close()


async def take(request: Request) -> Response:
    """One order."""
    body, id = await request.body(), str(uuid.uuid4())
    check_order(orjson.loads(body))
    headers = {name: value for name, value in request.headers.items() if name.startswith("x-header-")}
    message = aio_pika.Message(
        body, headers=headers, message_id=id, content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )  # fmt: skip
    await request.app.state.exchange.publish(message, queue)
    return JSONResponse({"id": id, "status": "accepted"}, 202)


async def ready(request: Request) -> Response:
    """It is there."""
    return Response()


app = Starlette(routes=[Route("/shop", take, methods=["POST"]), Route("/readyz", ready)], lifespan=lifespan)

if __name__ == "__main__":
    uvicorn.run(app, port=int(port), http="httptools", loop="uvloop", access_log=False, log_level="warning")
