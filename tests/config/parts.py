"""Adapters and formats as small as can be, so that config is tested without real ones."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SecretStr

from esb.config import Components
from esb.flow.steps import STEPS
from esb.ports import Adapter, Features, Format
from esb.ports import Settings as Base


class Files(Adapter):
    """Comes in and goes out."""

    kind = "files"
    features = Features(polls=True, sends=True)

    class Settings(Base):
        directory: str

    class Receive(Base):
        pattern: str = "*"


class Auth(Base):
    bearer: SecretStr | None = None


class Web(Adapter):
    """Goes out, with secrets."""

    kind = "web"
    features = Features(sends=True, keyed=True)

    class Settings(Base):
        url: str
        auth: Auth = Auth()

    class Operation(Base):
        post: str


class Hearing(Web):
    """Goes out, and hears the answers."""

    kind = "hearing"
    features = Features(sends=True, keyed=True, replies=True)


class Served(Adapter):
    """Is called from outside."""

    kind = "served"
    features = Features(serves=True)

    class Receive(Base):
        path: str | None = None

    def path(self) -> tuple[str, tuple[str, ...]]:
        return self.receive.path or super().path()[0], ("POST",)


class Table(Format):
    """CSV by another name."""

    kind = "table"
    content_type = "text/csv"

    class Settings(Base):
        delimiter: str = Field(",", max_length=1)

    def read(self, stream: Any) -> Any:
        return iter(())

    def decode(self, body: bytes) -> Any:
        return None

    def encode(self, document: Any) -> bytes:
        return b""


class Json(Table):
    """No settings."""

    kind = "json"
    Settings = Base  # type: ignore[assignment]


def components() -> Components:
    """Adapters and formats of the tests, and the steps that there are."""
    return Components(
        adapters={"files": Files, "web": Web, "hearing": Hearing, "served": Served},
        formats={"table": Table, "json": Json},
        steps=STEPS,
    )
