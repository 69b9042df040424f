"""What an HTTP endpoint may say: where to call, how to log in, what each operation is, where to listen."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr, WithJsonSchema, model_validator

from esb.ports import Duration, Settings, Size, TemplateText

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a header's name, RFC 9110 section 5.6.2


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError("this cannot be the name of an HTTP header")
    return name


def _header_value(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise ValueError("an HTTP header takes printable ASCII only")
    return value


def _secret_value(value: SecretStr) -> SecretStr:
    _header_value(value.get_secret_value())
    return value


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderText = Annotated[str, AfterValidator(_header_value)]
HeaderSecret = Annotated[SecretStr, AfterValidator(_secret_value)]


class Basic(Settings):
    """User and password (RFC 7617)."""

    user: str = Field(pattern=r"^[^:]+$", description="Without a colon.")
    password: SecretStr = Field(description="A secret by reference.")


class HeaderAuth(Settings):
    """A key in a header of its own."""

    name: HeaderName = Field(description="Such as X-Api-Key.")
    value: HeaderSecret = Field(description="A secret by reference.")


class Auth(Settings):
    """Exactly one way to prove who calls."""

    bearer: HeaderSecret | None = Field(None, description="A token (RFC 6750).")
    basic: Basic | None = None
    header: HeaderAuth | None = None

    @model_validator(mode="after")
    def _one(self) -> Auth:
        if sum(way is not None for way in (self.bearer, self.basic, self.header)) != 1:
            raise ValueError("give exactly one of bearer, basic and header")
        return self

    def credentials(self) -> tuple[str, str]:
        """The header to send, or to expect: (name, value)."""
        if self.header:
            return self.header.name, self.header.value.get_secret_value()
        if self.basic:
            pair = f"{self.basic.user}:{self.basic.password.get_secret_value()}"
            return "Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}"
        assert self.bearer is not None
        return "Authorization", f"Bearer {self.bearer.get_secret_value()}"

    @property
    def is_empty(self) -> bool:
        """Whether the secret says nothing: whoever sends nothing would know it."""
        ways = (self.bearer, self.basic and self.basic.password, self.header and self.header.value)
        return not any(way and way.get_secret_value().strip() for way in ways)

    def challenge(self) -> str:
        """What a 401 asks for."""
        if self.header:
            return 'ApiKey realm="esb"'
        return 'Basic realm="esb", charset="UTF-8"' if self.basic else 'Bearer realm="esb"'

    def secrets(self) -> tuple[str, ...]:
        """Every text that must never be shown, longest first."""
        value = self.credentials()[1]
        password = self.basic.password.get_secret_value() if self.basic else ""
        return tuple(text for text in (value, value.partition(" ")[2], password) if text)


def _url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address such as https://host:8443/base is needed")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("no user, query or fragment in the address; credentials go under auth")
    return url.rstrip("/")


def _call_path(path: str) -> str:
    literal = re.sub(r"\{[^}]*\}", "x", path)
    if not re.fullmatch(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*", literal) or {".", ".."} & set(literal.split("/")):
        raise ValueError("a path that begins with / is needed, such as /orders/{orderId}; the query goes under query")
    return path


def _plain_path(path: str) -> str:
    if "{" in path:
        raise ValueError("a plain path is needed: there is no message to fill it from")
    return _call_path(path)


def _served_path(path: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*[A-Za-z0-9_~-]", path) or {"", ".", ".."} & set(path.split("/")[1:]):
        raise ValueError("a path such as /orders is needed")
    return path


def _range(value: Any) -> tuple[int, int]:
    match = re.fullmatch(r"([1-5]\d\d)(?:-([1-5]\d\d))?", str(value))
    if not match or isinstance(value, bool):
        raise ValueError("statuses such as 409 or 200-299 are needed")
    return int(match[1]), int(match[2] or match[1])


def _ranges(values: Any) -> Any:
    if not isinstance(values, list | tuple):
        raise ValueError("a list of statuses is needed, such as [200-299, 404]")
    return tuple(value if isinstance(value, tuple) else _range(value) for value in values)


def _range_texts(ranges: tuple[tuple[int, int], ...]) -> list[str]:
    return [f"{low}-{high}" if high > low else str(low) for low, high in ranges]


Statuses = Annotated[
    tuple[tuple[int, int], ...],
    BeforeValidator(_ranges),
    PlainSerializer(_range_texts, return_type=list[str], when_used="json"),
    WithJsonSchema(
        {
            "type": "array",
            "items": {
                "anyOf": [
                    {"type": "string", "pattern": r"^[1-5]\d\d(-[1-5]\d\d)?$"},
                    {"type": "integer", "minimum": 100, "maximum": 599},
                ]
            },
        }
    ),
]
CallPath = Annotated[TemplateText, AfterValidator(_call_path)]


class HttpSettings(Settings):
    """Where to call and how. An endpoint that only receives needs none of it."""

    url: Annotated[str, AfterValidator(_url)] | None = Field(None, description="Where the paths of operations start.")
    auth: Auth | None = Field(None, description="How the bus proves itself to the other side.")
    headers: dict[HeaderName, HeaderText] = Field(
        default_factory=dict, description="Sent with every call; Content-Type instead of what the format says."
    )
    timeout: Duration = Field(30.0, gt=0, description="For one call; the endpoint's own timeout may be shorter.")
    connect_timeout: Duration = Field(5.0, gt=0, description="For making the connection.")
    read_timeout: Duration | None = Field(
        None, gt=0, description="For each wait within a call: for the answer to begin, and for it to go on."
    )
    verify: bool = Field(True, description="Check the certificate of an https address.")
    ca: str | None = Field(None, description="File of the authorities to trust, instead of the system's.")
    max_reply: Size = Field(1024**2, description="Longest answer that is read.")
    check: Annotated[str, AfterValidator(_plain_path)] | None = Field(
        None, description="Path to GET for a sign of life; without it, a connection will do."
    )


class Probe(Settings):
    """How to find out whether a call that nobody heard the end of took effect."""

    get: CallPath = Field(
        description="Path to GET. An answer with content means: it took place. 404, 410 and an answer without content "
        "(none, null, [] or {}) mean: it did not."
    )
    query: dict[str, TemplateText] = Field(default_factory=dict, description="Parameters behind the path.")


class HttpOperation(Settings):
    """One call: a method with its path, filled from the message: ``post: /orders/{orderId}``."""

    get: CallPath | None = Field(None, description="Path to GET; nothing is sent but the path and the query.")
    post: CallPath | None = Field(None, description="Path to POST the document to.")
    put: CallPath | None = Field(None, description="Path to PUT the document to.")
    patch: CallPath | None = Field(None, description="Path to PATCH with the document.")
    delete: CallPath | None = Field(None, description="Path to DELETE; the document stays here.")
    query: dict[str, TemplateText] = Field(default_factory=dict, description="Parameters behind the path.")
    idempotency_header: HeaderName | None = Field(
        "Idempotency-Key", description="Header for the key that stays the same over retries; null: send none."
    )
    success: Statuses = Field(((200, 299),), description="Statuses that mean: done.")
    refused: Statuses = Field((), description="Statuses that mean: this message never; beside most of 4xx.")
    busy: Statuses = Field(
        (), description="Statuses that mean: nothing was done, try later; beside 408, 425, 429, 503."
    )
    probe: Probe | None = Field(None, description="For what is unkeyed: how to find out whether it took effect.")

    @model_validator(mode="after")
    def _one(self) -> HttpOperation:
        if len(self._calls()) != 1:
            raise ValueError("give exactly one of get, post, put, patch and delete, with the path")
        return self

    def _calls(self) -> list[tuple[str, str]]:
        names = ("get", "post", "put", "patch", "delete")
        return [(name.upper(), path) for name in names if (path := getattr(self, name)) is not None]

    @property
    def call(self) -> tuple[str, str]:
        """(method, path template)."""
        return self._calls()[0]


class HttpReceive(Settings):
    """Where the bus listens for this endpoint."""

    path: Annotated[str, AfterValidator(_served_path)] | None = Field(
        None, description="Path on the ingress; default: / and the endpoint's name."
    )
    methods: tuple[Literal["POST", "PUT", "PATCH"], ...] = Field(
        ("POST",), min_length=1, description="Methods that are taken; others are answered 405."
    )
    auth: Auth | None = Field(None, description="What a caller must prove; without it, anybody may send.")
