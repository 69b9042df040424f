"""What a broker URL says: ``amqp[s]://user:password@host:port/vhost?heartbeat=15&ca_certs=…``."""

from __future__ import annotations

import difflib
import re
import ssl
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from esb.errors import ConfigError

PLAIN = "plain"
_FRAMES = ("bulk", PLAIN)
_FILES = ("ca_certs", "certfile", "keyfile")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server is and how long we wait for it; all times in seconds.

    ``heartbeat`` is how often both sides say that they live; a peer silent for twice as long is gone.
    ``blocked_timeout`` is how long a publish waits for a memory or disk alarm of the server to end.
    ``frames`` is how the messages' frames are read and written: in ``bulk``, or ``plain`` by py-amqp alone, slower.
    """

    host: str
    port: int
    user: str
    password: str
    vhost: str
    tls: bool = False
    heartbeat: int = 15
    connect_timeout: float = 5.0
    read_timeout: float = 15.0
    write_timeout: float = 15.0
    confirm_timeout: float = 30.0
    blocked_timeout: float = 2.0
    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    frames: str = "bulk"

    def __str__(self) -> str:
        """The address without user or password: what error texts and logs show."""
        return f"{'amqps' if self.tls else 'amqp'}://{self.host}:{self.port}/{self.vhost.lstrip('/')}"

    __repr__ = __str__

    def __rich_repr__(self) -> Any:
        """Overrides the one that a Struct generates, which would show the password."""
        yield str(self)

    def ssl_options(self) -> dict[str, Any] | bool:
        """For py-amqp. The host name is verified only because ``server_hostname`` is given."""
        if not self.tls:
            return False
        files = {name: getattr(self, name) for name in _FILES if getattr(self, name)}
        return {
            "server_hostname": self.host,
            "cert_reqs": ssl.CERT_REQUIRED,
            "tls_minimum_version": ssl.TLSVersion.TLSv1_2,
            **files,
        }


_OPTIONS = tuple(name for name in Settings.__struct_fields__[6:])


def parse(url: str) -> Settings:
    """Read a broker URL. Raises ``ConfigError`` that never repeats the password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError(f"the broker URL {redact(url)} is not amqp://user@host:port/vhost") from None
    if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
        raise ConfigError(f"the broker URL {redact(url)} must begin with amqp:// or amqps:// and name a host")
    tls = parts.scheme == "amqps"
    return Settings(
        host=parts.hostname,
        port=port or (5671 if tls else 5672),
        user=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"),
        vhost=unquote(parts.path[1:]) or "/",
        tls=tls,
        **dict(_option(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True)),
    )


def redact(url: str) -> str:
    """The URL with its password (and anything that could be one) taken out."""
    return re.sub(r"(//[^:/@]*):.*@", r"\1:***@", url, flags=re.DOTALL)


def _option(name: str, value: str) -> tuple[str, Any]:
    if name not in _OPTIONS:
        near = difflib.get_close_matches(name, _OPTIONS, 1)
        hint = f" (did you mean {near[0]}?)" if near else f"; known are {', '.join(_OPTIONS)}"
        raise ConfigError(f"the broker URL has an unknown option {name!r}{hint}")
    if name in _FILES:
        return name, value
    if name == "frames":
        return name, _chosen(value)
    try:
        number = float(value)
    except ValueError:
        raise ConfigError(f"the broker URL's option {name} must be a number of seconds, not {value!r}") from None
    if not 1 <= number <= 3600:
        raise ConfigError(f"the broker URL's option {name} must lie between 1 and 3600 seconds, not {value!r}")
    return name, int(number) if name == "heartbeat" else number


def _chosen(value: str) -> str:
    if value not in _FRAMES:
        raise ConfigError(f"the broker URL's option frames must be one of {', '.join(_FRAMES)}, not {value!r}")
    return value
