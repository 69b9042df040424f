"""HTTP, both ways: calls a service, and receives through the ingress of the bus."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel
from urllib3.util import Url, create_urllib3_context, parse_url

from esb.adapters.http.answers import failure, redact
from esb.adapters.http.client import Answer, Client
from esb.adapters.http.ingress import arrival, authenticate
from esb.adapters.http.settings import Auth, HttpOperation, HttpReceive, HttpSettings
from esb.errors import EndpointError, Interrupted, Refused, Unreachable
from esb.ports import Adapter, Arrival, Features, HttpRequest, Reply, Request, Template

__all__ = ["Auth", "HttpAdapter", "HttpOperation", "HttpReceive", "HttpSettings"]

_PRINTABLE = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TYPE = "content-type"
_WITH_BODY = ("POST", "PUT", "PATCH")
_ABSENT = (404, 410)
_EMPTY = (b"", b"null", b"[]", b"{}")


class HttpAdapter(Adapter):
    """Calls a service, one request a message; and takes requests in.

    A call is *keyed*: it carries the request's key as Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07),
    and CloudEvents attributes as ``ce-`` headers. Redirects are never followed: they lead credentials astray.
    """

    kind: ClassVar[str] = "http"
    summary: ClassVar[str] = "HTTP services, called and calling"
    features: ClassVar[Features] = Features(serves=True, sends=True, keyed=True, replies=True, probes=True)
    Settings: ClassVar[type[BaseModel]] = HttpSettings
    Operation: ClassVar[type[BaseModel]] = HttpOperation
    Receive: ClassVar[type[BaseModel]] = HttpReceive

    def __init__(
        self,
        name: str,
        settings: HttpSettings,
        operations: Mapping[str, HttpOperation] | None = None,
        receive: HttpReceive | None = None,
        root: str = ".",
    ) -> None:
        super().__init__(name, settings, operations, receive or HttpReceive(), root)
        self._url = parse_url(settings.url or "")
        own = {name: value for name, value in settings.headers.items() if name.lower() != _TYPE}
        self._headers = own | dict([settings.auth.credentials()] if settings.auth else [])
        self._type = next((value for name, value in settings.headers.items() if name.lower() == _TYPE), "")
        self._secrets = settings.auth.secrets() if settings.auth else ()
        self._calls = {key: Call(settings.url or "", operation) for key, operation in self.operations.items()}
        self._probes = {
            key: Call(settings.url or "", HttpOperation(get=operation.probe.get, query=operation.probe.query))
            for key, operation in self.operations.items()
            if operation.probe
        }
        self._client: Client | None = None

    @classmethod
    def problems(cls, settings: Any, operations: Mapping[str, Any], receive: Any) -> Sequence[str]:
        """Operations need an address to call."""
        return (
            ("settings.url is missing, so the operations have nowhere to go",)
            if operations and not settings.url
            else ()
        )

    @classmethod
    def can_tell(cls, settings: Any, operation: Any) -> bool:
        """Where the operation says where to look."""
        return operation.probe is not None

    def open(self) -> None:
        """Make the pool; nothing is connected before the first call."""
        if self.settings.url and self._client is None:
            tls = self._tls() if self._url.scheme == "https" else None
            self._client = Client(self._url, self.settings.connect_timeout, self.settings.read_timeout, tls)

    def close(self) -> None:
        """Close idle connections; calls under way end by themselves."""
        client, self._client = self._client, None
        if client:
            client.close()

    def check(self) -> str:
        """GET ``settings.check``, or just connect."""
        if not self.settings.url:
            return "receives only: nothing to check"
        return self._check_path(self.settings.check) if self.settings.check else self._check_connection()

    def send(self, request: Request) -> Reply:
        """One call. See ``answers.failure`` for what the statuses mean."""
        call = self._calls[request.operation]
        what, answer = self._ask(call, request)
        error = failure(call.operation, answer, what, self._secrets)
        if error:
            raise error
        return _reply(str(answer.status), answer)

    def took_place(self, request: Request) -> Reply | None:
        """GET the operation's ``probe``; what it answers stands for the answer of the call."""
        call = self._probes[request.operation]
        what, answer = self._ask(call, request)
        if answer.status in _ABSENT:
            return None
        error = failure(call.operation, answer, what, self._secrets)
        if error:
            raise EndpointError(str(error)) from error
        return None if answer.body.strip() in _EMPTY else _reply(f"had taken effect ({answer.status})", answer)

    def path(self) -> tuple[str, tuple[str, ...]]:
        """Where the ingress listens for this endpoint."""
        return self.receive.path or f"/{self.name}", self.receive.methods

    def admit(self, request: HttpRequest) -> None:
        """Check the caller's credentials, which all stand in headers."""
        if self.receive.auth:
            authenticate(self.receive.auth, request.headers)

    def accept(self, request: HttpRequest) -> Arrival:
        """Check them again, then take id, subject and trace from CloudEvents or Idempotency-Key."""
        self.admit(request)  # nobody gets in because somebody forgot to ask before
        return arrival(request)

    # ------------------------------------------------------------------------------------------------------------

    def _ask(self, call: Call, request: Request) -> tuple[str, Answer]:
        target = call.target(request)
        what = f"{self.name}: {call.method} {self.settings.url}{call.path}"
        headers = self._headers | call.headers(request, self._type)
        body = request.body if call.method in _WITH_BODY else None
        return what, self._call(what, call.method, target, headers, body, request.timeout)

    def _call(
        self, what: str, method: str, target: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer:
        if self._client is None:
            raise Unreachable(f"{what}: the endpoint is not open")
        limit = min(timeout, self.settings.timeout)
        path = (self._url.path or "") + target
        try:
            return self._client.call(method, path, headers, body, limit, self.settings.max_reply)
        except (Unreachable, Interrupted) as error:
            raise type(error)(f"{what}: {redact(str(error), self._secrets)}") from error

    def _check_path(self, path: str) -> str:
        what = f"{self.name}: GET {self.settings.url}{path}"
        answer = self._call(what, "GET", path, self._headers, None, self.settings.timeout)
        if answer.status >= 400:
            raise EndpointError(f"{what} answered {answer.status} to the question whether it is well")
        return f"GET {path} answered {answer.status}"

    def _check_connection(self) -> str:
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        place = f"{self._url.host}:{port}"
        try:
            socket.create_connection((_bare(self._url), port), self.settings.connect_timeout).close()
        except OSError as error:
            raise Unreachable(f"{self.name}: no connection to {place}: {error.strerror or error}") from error
        return f"{place} accepts connections"

    def _tls(self) -> ssl.SSLContext:
        context = create_urllib3_context()
        try:
            if not self.settings.verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            elif self.settings.ca:
                context.load_verify_locations(Path(self.root, self.settings.ca))
            else:
                context.load_default_certs()
        except OSError as error:
            raise EndpointError(f"{self.name}: cannot read settings.ca ({self.settings.ca}): {error}") from error
        return context


class Call:
    """One operation, compiled: fills the path, the query and the headers of a request.

    ``path`` is what errors show of it: as it is configured, since what it is filled with may be masked.
    """

    def __init__(self, url: str, operation: HttpOperation) -> None:
        self.operation = operation
        self.method, path = operation.call
        self.path = path.partition("?")[0]
        self._path = Template(path)
        self._query = {name: Template(text) for name, text in operation.query.items()}
        self._source = url

    def target(self, request: Request) -> str:
        """Path and query. Every value stays within its segment."""
        words = request.words()
        path = self._path.fill(request.document, words, _segment)
        if {".", ".."} & set(path.split("/")):
            raise Refused(f"the path {self.path} climbs: a field of the message is . or ..")
        pairs = {name: one.fill(request.document, words, str) for name, one in self._query.items()}
        return f"{path}?{urlencode(pairs, errors='replace')}" if pairs else path

    def headers(self, request: Request, content_type: str = "") -> dict[str, str]:
        """CloudEvents, trace and key. Nothing else of a message travels: a header is a place to smuggle things into.

        ``content_type``: of every body, where it is not what its format says.
        """
        headers = {
            name: _encoded(value) for name, value in request.headers.items() if re.fullmatch("ce-[a-z0-9]+", name)
        }
        trace = request.headers.get("traceparent", "")
        if _TRACEPARENT.fullmatch(trace):
            headers["traceparent"] = trace
        if self.operation.idempotency_header and self.method != "GET":
            headers[self.operation.idempotency_header] = f'"{_encoded(request.key)}"'
        if self.method in _WITH_BODY:
            headers["Content-Type"] = content_type or request.content_type
        return headers


def _reply(detail: str, answer: Answer) -> Reply:
    return Reply(detail=detail, body=answer.body, content_type=answer.headers.get("content-type", ""))


def _segment(value: str) -> str:
    try:
        return quote(value, safe="")
    except UnicodeEncodeError as error:
        raise Refused("a field that goes into the path is not valid text") from error


def _encoded(value: str) -> str:
    """Percent-encoded as the CloudEvents HTTP binding (1.0.2, section 3.1.3.2) wants header values."""
    return quote(value, safe=_PRINTABLE, errors="replace")


def _bare(url: Url) -> str:
    return (url.host or "").strip("[]")
