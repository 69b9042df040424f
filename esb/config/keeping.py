"""The part of ``esb.yaml`` about what the store keeps: for how long, how much of it, and encrypted."""

from __future__ import annotations

from pydantic import Field, SecretStr

from esb.ports import Settings
from esb.units import Duration


class Retention(Settings):
    """How long the store remembers."""

    messages: Duration = Field(7 * 86400.0, description="Journeys of messages that have ended.")
    inbox: Duration = Field(30 * 86400.0, description="What was sent and taken before, so that repeats are known.")
    audit: Duration | None = Field(None, description="Who did what; without it, for ever.")


class Parked(Settings):
    """What keeps the failed-message store in bounds."""

    most: int = Field(
        100_000,
        ge=0,
        description="So many parked at one endpoint or flow, and it is paused: the rest waits in the broker. 0: never.",
    )
    discard_after: Duration | None = Field(
        None, description="What nobody decided about for so long is discarded; without it, it waits for ever."
    )


class Encryption(Settings):
    """What the store keeps whole for retries, replies and timers, and nobody is shown.

    It is encrypted where there is a key. Where contracts mask fields, an embedded database makes its own.
    """

    keys: tuple[SecretStr, ...] = Field(
        (), description="Secrets. The first encrypts; the others still decrypt, until a replaced key is not needed."
    )

    def texts(self) -> list[str]:
        """The keys, for the store."""
        return [key.get_secret_value() for key in self.keys]
