"""What views share: reading what was asked, saying what was done, going back."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import flask
import msgspec
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from esb.admin.access import visitor

LONGEST = 500  # characters of what somebody looks for, or gives as a reason
NOTICE = "esb_notice"


class Notice(msgspec.Struct, frozen=True):
    """What came of an act. ``tone``: ok, warn or bad."""

    text: str
    tone: str


_notices = msgspec.json.Decoder(list[Notice])


def arg(name: str, default: str = "") -> str:
    """A word of the query, as every database takes it."""
    return _clean(flask.request.args.get(name, default))


def number(name: str, default: int, least: int, most: int) -> int:
    """A number of the query, within bounds."""
    try:
        return min(max(int(flask.request.args.get(name, default)), least), most)
    except ValueError:
        return default


def when(name: str) -> float | None:
    """A time of the query, in UTC as people and browsers write it (``2026-03-01T12:00``); None without a usable one."""
    try:
        at = datetime.fromisoformat(arg(name))
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def field(name: str) -> str:
    """A field of the form that was sent."""
    return _clean(flask.request.form.get(name, ""))


def reason() -> str:
    """Why somebody does it; 400 where nobody says. For the audit."""
    said = field("reason")
    if not said:
        raise BadRequest("Say why: the reason stands in the audit.")
    return said


def who() -> str:
    """The name of the one who acts, for the audit."""
    session = visitor()
    return session.user if session else ""


def here(**changes: Any) -> str:
    """The address of this page with some words of its query changed; None takes one away."""
    words = flask.request.args.to_dict() | changes
    query = urlencode({name: value for name, value in words.items() if value not in (None, "")})
    return flask.request.path + (f"?{query}" if query else "")


def notice(text: str, tone: str = "ok") -> None:
    """Say on the next page what came of an act."""
    flask.g.setdefault("said", []).append(Notice(text[:LONGEST], tone))


def back(default: str, code: int = 303) -> Response:
    """Go to where the form wanted (``next``, an address of this site), or to ``default``."""
    response = flask.redirect(inside(flask.request.form.get("next", "")) or default, code)
    said = flask.g.pop("said", [])
    if said:
        keep(response, NOTICE, _sealed(said), 60)
    return response


def keep(response: Any, name: str, value: str, seconds: int) -> None:
    """A small cookie of a page, with the care that the one of the session gets."""
    secure = flask.current_app.config["SESSION_COOKIE_SECURE"]
    response.set_cookie(name, value, max_age=seconds, secure=secure, httponly=True, samesite="Strict")


def inside(address: str) -> str:
    """An address when it is a path of this site, else nothing: nobody is sent elsewhere."""
    parts = urlsplit(address)
    plain = not parts.scheme and not parts.netloc and "\\" not in address and not any(map(_control, address))
    return address if plain and address.startswith("/") and not address.startswith("//") else ""


def notices() -> Sequence[Notice]:
    """What is to be said on this page: what came of the act before it."""
    said: list[Notice] = flask.g.pop("said", [])
    sealed = flask.request.cookies.get(NOTICE, "")
    if sealed:
        flask.g.said_before = True
    return [*_opened(sealed), *said]


def forget_notices(response: Response) -> Response:
    """Once is enough."""
    if flask.g.get("said_before"):
        response.delete_cookie(NOTICE, httponly=True, samesite="Strict")
    return response


def _sealed(said: list[Notice]) -> str:
    """Nobody else can make this browser show a text as ours."""
    text = base64.urlsafe_b64encode(msgspec.json.encode(said)).decode()
    return f"{text}.{_seal(text)}"


def _opened(sealed: str) -> list[Notice]:
    text, _, seal = sealed.partition(".")
    if not sealed or not hmac.compare_digest(seal.encode(), _seal(text).encode()):
        return []
    try:
        return _notices.decode(base64.urlsafe_b64decode(text))
    except (binascii.Error, msgspec.DecodeError):
        return []


def _seal(text: str) -> str:
    return hmac.new(flask.g.secret.encode(), b"notice" + text.encode(), hashlib.sha256).hexdigest()


def _clean(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode().strip()[:LONGEST]


def _control(char: str) -> bool:
    return ord(char) < 32
