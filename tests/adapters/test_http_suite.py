"""The http adapter under the shipped suite, against a real service on loopback."""

from __future__ import annotations

from pathlib import Path

from esb.adapters.http import HttpAdapter, HttpOperation, HttpSettings
from esb.ports import Adapter, Request
from esb.testing.adapters import CANARY, AdapterSuite, World
from tests.adapters.web import Exchange, Service


class HttpWorld(World):
    """A service that can be stopped and started on its port."""

    def __init__(self) -> None:
        self.service = Service()
        self.service.behave = self.behave
        self.port = self.service.server_port

    def adapter(self) -> Adapter:
        settings = HttpSettings(url=self.service.url, auth={"bearer": CANARY})
        return HttpAdapter(
            "service", settings, {"deliver": HttpOperation(post="/orders/{n}", probe={"get": "/orders/{n}"})}
        )

    def behave(self, exchange: Exchange) -> None:
        """Keep what is posted; say of an order whether it is there."""
        number = exchange.path.rpartition("/")[2]
        if exchange.command != "GET":
            self.service.keep(exchange)
        elif f'"message-{number}/deliver"' in self.service.effects:
            exchange.answer(200, b'{"ok":true}', Content_Type="application/json")
        else:
            exchange.answer(404)

    def received(self) -> list[bytes]:
        return list(self.service.effects.values())

    def break_it(self) -> None:
        self.service.stop()

    def mend(self) -> None:
        effects = self.service.effects
        self.service = Service(self.port)
        self.service.effects = effects
        self.service.behave = self.behave

    def hang(self) -> None:
        self.service.behave = self.service.hang

    def refuse(self, request: Request) -> None:
        self.service.behave = lambda exchange: exchange.answer(422, f"no: {exchange.headers['Authorization']}".encode())

    def close(self) -> None:
        self.service.stop()


class TestHttpAdapter(AdapterSuite):
    """All scenarios of sending and serving."""

    def make(self, directory: Path) -> World:
        return HttpWorld()
