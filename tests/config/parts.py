"""Adapters, formats and steps as small as can be, so that config is tested without the rest of the bus."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, SecretStr, model_validator

from esb.config import Components, Scope, Steps
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


class Short(Base):
    """Takes its one field as a bare value too."""

    field: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return value if isinstance(value, dict) and cls.field in value else {cls.field: value}


class MapStep:
    kind = "map"

    class Settings(Short):
        field = "mapping"
        mapping: Any

    @classmethod
    def target(cls, settings: Any) -> str:
        return settings.mapping if isinstance(settings.mapping, str) else ""

    @classmethod
    def check(cls, settings: Any, scope: Scope) -> Scope:
        return scope.mapping(settings.mapping, ("mapping",))


class FilterStep:
    kind = "filter"

    class Settings(Short):
        field = "when"
        when: Any

    @classmethod
    def target(cls, settings: Any) -> str:
        return ""

    @classmethod
    def check(cls, settings: Any, scope: Scope) -> Scope:
        scope.expression(settings.when, ("when",), boolean=True)
        return scope


class SetStep:
    kind = "set"

    class Settings(Short):
        field = "fields"
        fields: dict[str, Any]

    @classmethod
    def target(cls, settings: Any) -> str:
        return ""

    @classmethod
    def check(cls, settings: Any, scope: Scope) -> Scope:
        for name, text in settings.fields.items():
            scope.expression(text, ("fields", name))
        return scope


class SendStep:
    kind = "send"

    class Settings(Short):
        field = "to"
        to: str
        map: str | None = None

    @classmethod
    def target(cls, settings: Any) -> str:
        return str(settings.to)

    @classmethod
    def check(cls, settings: Any, scope: Scope) -> Scope:
        inner = scope.mapping(settings.map, ("map",)) if settings.map else scope
        inner.operation(settings.to, ("to",))
        return scope


class PublishStep:
    kind = "publish"

    class Settings(Short):
        field = "contract"
        contract: str

    @classmethod
    def target(cls, settings: Any) -> str:
        return str(settings.contract)

    @classmethod
    def check(cls, settings: Any, scope: Scope) -> Scope:
        scope.contract(settings.contract, ("contract",))
        return scope


class Branch(Base):
    when: str | None = None
    do: Steps = ()
    otherwise: Steps = ()


class ChooseStep:
    kind = "choose"

    class Settings(Short):
        field = "branches"
        branches: tuple[Branch, ...]

    @classmethod
    def target(cls, settings: Any) -> str:
        return ""

    @classmethod
    def check(cls, settings: Any, scope: Scope) -> Scope:
        for number, branch in enumerate(settings.branches):
            if branch.when is not None:
                scope.expression(branch.when, ("branches", number, "when"), boolean=True)
            key = "do" if branch.do else "otherwise"
            scope.steps(branch.do or branch.otherwise, ("branches", number, key))
        return scope


class SplitStep:
    kind = "split"

    class Settings(Base):
        each: str
        do: Steps

    @classmethod
    def target(cls, settings: Any) -> str:
        return ""

    @classmethod
    def check(cls, settings: Any, scope: Scope) -> Scope:
        scope.expression(settings.each, ("each",))
        scope.element(settings.each).steps(settings.do, ("do",))
        return scope


def components() -> Components:
    """All of them."""
    steps = (MapStep, FilterStep, SetStep, SendStep, PublishStep, ChooseStep, SplitStep)
    return Components(
        adapters={"files": Files, "web": Web},
        formats={"table": Table, "json": Json},
        steps={step.kind: step for step in steps},
    )
