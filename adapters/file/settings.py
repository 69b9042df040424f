"""What a file endpoint may say."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, field_validator, model_validator

from esb.ports import Duration, Settings, Template, TemplateText


class Ready(Settings):
    """How to know that a file is complete."""

    how: Literal["stable", "marker", "rename"]
    seconds: Duration = 2.0
    suffix: str = ""

    def __str__(self) -> str:
        return {"stable": f"stable {self.seconds:g}s", "marker": f"marker {self.suffix}"}.get(self.how, self.how)


def _ready(value: Any) -> Any:
    words = value.split() if isinstance(value, str) else []
    match words:
        case ["stable"] | ["rename"]:
            return {"how": words[0]}
        case ["stable", duration]:
            return {"how": "stable", "seconds": duration}
        case ["marker", suffix] if re.fullmatch(r"\.[A-Za-z0-9_-]+", suffix):
            return {"how": "marker", "suffix": suffix}
    if isinstance(value, Ready):
        return value
    raise ValueError(
        "one of: stable 2s (unchanged that long), marker .done (a file beside it), rename (appears complete)"
    )


ReadyText = Annotated[
    Ready,
    BeforeValidator(_ready),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": r"^(stable( +\d+(\.\d+)?(ms|s|m|h|d))?|marker +\.[A-Za-z0-9_-]+|rename)$"}
    ),
]


class FileSettings(Settings):
    """A directory."""

    directory: str = Field(min_length=1, description="Where the files are; relative to the bus directory.")
    create: bool = Field(True, description="Make the directory when it is missing.")
    pattern: str = Field("*", description="Names to take, as in a shell: *.csv, till-??.txt; case counts.")
    recursive: bool = Field(False, description="Look into subdirectories too.")
    ready: ReadyText = Field(
        Ready(how="stable"),
        description="How to know that a file is complete: stable 2s (size and time unchanged that long), "
        "marker .done (orders.csv.done lies beside it), rename (files appear complete).",
    )
    done: str = Field(".done", min_length=1, description="Where finished files go (below it, by date), or: delete.")

    @model_validator(mode="after")
    def _apart(self) -> FileSettings:
        if "/" in self.pattern:
            raise ValueError("pattern is for names, without a slash; use recursive: true for subdirectories")
        if self.recursive and self.done != "delete" and not self.done.startswith((".", "/")):
            raise ValueError("with recursive, done must begin with a dot, or what is finished would be taken again")
        return self


class FileOperation(Settings):
    """One way to write a message as a file."""

    path: TemplateText = Field(
        "{message_id}",
        description="Name below the directory, filled from the message: orders/{orderId}-{message_id}.json.",
    )
    overwrite: bool = Field(False, description="Replace a file of that name with another content, instead of refusing.")

    @field_validator("path")
    @classmethod
    def _below(cls, path: str) -> str:
        if any(part == "" or part.startswith(".") for part in path.split("/")):
            raise ValueError("a name below the directory: no leading /, no //, no part that begins with a dot")
        if "\0" in path or not Template(path).fields:
            raise ValueError("every message would have this name: put a field into it, such as {message_id}")
        return path
