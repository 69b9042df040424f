"""Settings with a short form: ``filter: x`` stands for ``filter: {when: x}``."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from esb import ports


class Shorthand(ports.Settings):
    """Settings that may be written as the value of one field alone: ``filter: x`` is ``filter: {when: x}``."""

    short: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        return {cls.short: value} if cls.is_short(value) else value

    @classmethod
    def is_short(cls, value: Any) -> bool:
        """Whether a value stands for the one field."""
        return not isinstance(value, dict | cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        full = handler(core)
        return {"anyOf": [handler.resolve_ref_schema(full)["properties"][cls.short], full]}


class StepsShorthand(Shorthand):
    """The same where the one field takes steps: a step is a mapping, too, but has none of the keys."""

    @classmethod
    def is_short(cls, value: Any) -> bool:
        """Whether a value is steps."""
        if not isinstance(value, dict):
            return not isinstance(value, cls)
        return value.keys().isdisjoint(field.alias or name for name, field in cls.model_fields.items())
