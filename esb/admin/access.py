"""Who may do what: the host a request is for, the session behind it, the role it needs, the token of a form."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import flask
from werkzeug.exceptions import BadRequest, Forbidden, MisdirectedRequest, Unauthorized

from esb.admin.services import Services
from esb.store import ROLES, Role, Session
from esb.store.credentials import new_token, token_hash

View = TypeVar("View", bound=Callable[..., Any])

LIVE = "X-Esb-Live"  # header of a request that the script makes by itself, so that it does not count as somebody there
TOKEN = "token"  # noqa: S105 - the name of the form's field
TOUCH = 60.0  # seconds; noting each request would be a write each
_NEEDS = "esb_needs"


def requires(role: Role) -> Callable[[View], View]:
    """Below a route: the least role that may use it. Without it, ``viewer``."""

    def mark(view: View) -> View:
        setattr(view, _NEEDS, role)
        return view

    return mark


def public(view: View) -> View:
    """Below a route: everybody may use it, signed in or not."""
    setattr(view, _NEEDS, None)
    return view


def needed(view: Callable[..., Any] | None) -> Role | None:
    """What :func:`requires` or :func:`public` said of a view."""
    needs: Role | None = getattr(view, _NEEDS, "viewer")
    return needs


def may(role: Role) -> bool:
    """Whether the one who asks has at least this role."""
    session = visitor()
    return session is not None and ROLES.index(session.role) >= ROLES.index(role)


def visitor() -> Session | None:
    """The session of the one who asks."""
    found: Session | None = flask.g.get("visitor")
    return found


def form_token() -> str:
    """What a form must carry: bound to the session (or, before there is one, to this browser), known to no other site.

    A keyed hash of the session's own token, so that there is nothing more to store (OWASP: HMAC based token pattern).
    """
    return hmac.new(flask.g.secret.encode(), b"form", hashlib.sha256).hexdigest()


def cookie(services: Services, name: str) -> str:
    """The name of a cookie. With https the browser itself holds it to this host and to https (``__Host-``)."""
    return f"__Host-esb_{name}" if _https(services) else f"esb_{name}"


def set_cookie(services: Services, response: Any, name: str, value: str, seconds: float | None = None) -> None:
    """Scripts cannot read it, other sites cannot make the browser send it. An empty value takes it away."""
    response.set_cookie(
        cookie(services, name), value, max_age=0 if not value else None if seconds is None else int(seconds),
        path="/", secure=_https(services), httponly=True, samesite="Strict",
    )  # fmt: skip


def install(app: flask.Flask, services: Services) -> None:
    """Ask all of it before each request."""
    # A file of ours says nothing about the bus.
    app.view_functions["static"] = public(app.view_functions["static"])
    hosts = _hosts(services)

    @app.before_request
    def admit() -> Any:
        if flask.request.blueprint == "health":  # asked by address, by machines
            return None
        _check_host(hosts)
        if flask.request.endpoint == "static":
            return None
        _identify(services)
        refused = _check_role(app)
        if refused is None and flask.request.method not in ("GET", "HEAD"):
            _check_form()
        return refused

    @app.after_request
    def remember(response: flask.Response) -> flask.Response:
        """Before there is a session, forms are bound to a cookie that says nothing."""
        if flask.g.get("new_secret") and flask.g.get("wrote_form"):
            set_cookie(services, response, "visit", flask.g.secret)
        return response


def _https(services: Services) -> bool:
    return services.settings.url.startswith("https:")


def _hosts(services: Services) -> frozenset[str]:
    """Names this interface answers to. A page of another site whose name resolves to us must not (DNS rebinding)."""
    settings = services.settings
    named = {"localhost", "127.0.0.1", "[::1]", settings.host, f"[{settings.host}]", *settings.hosts}
    return frozenset(name.lower() for name in named | {urlsplit(settings.url).hostname or "localhost"})


def _check_host(hosts: frozenset[str]) -> None:
    given = flask.request.headers.get("Host", "").lower()
    name = given if given.endswith("]") else given.rpartition(":")[0] or given
    if name not in hosts:
        raise MisdirectedRequest(
            "This interface is not served under that name. An admin can add it: admin.hosts in esb.yaml."
        )


def _identify(services: Services) -> None:
    token = flask.request.cookies.get(cookie(services, "session"), "")
    flask.g.visitor = _session(services, token_hash(token)) if token else None
    visit = flask.request.cookies.get(cookie(services, "visit"), "")
    flask.g.new_secret = flask.g.visitor is None and not visit
    flask.g.secret = token if flask.g.visitor else visit or new_token()


def _session(services: Services, id: str) -> Session | None:
    now = services.clock()
    with services.store.reading() as t:
        found = t.sessions.get(id, now, services.settings.idle)
    if found and now - found.seen_at > TOUCH and LIVE not in flask.request.headers:
        with services.store.transaction() as t:
            t.sessions.touch(id, now)
    return found


def _check_role(app: flask.Flask) -> Any:
    """An address that does not exist is none of a stranger's business either."""
    role = needed(app.view_functions.get(flask.request.endpoint or ""))
    if role is None or may(role):
        return None
    if visitor() is None:
        if flask.request.method == "GET" and LIVE not in flask.request.headers:
            return flask.redirect(f"{flask.url_for('signin.index')}?next={quote(_asked())}", 303)
        raise Unauthorized("You are not signed in any more.")
    if flask.request.routing_exception:
        return None
    raise Forbidden(f"This needs the role {role}. Yours is {visitor().role}.")  # type: ignore[union-attr]


def _asked() -> str:
    return flask.request.full_path.rstrip("?")


def _check_form() -> None:
    """The synchroniser token, and where the browser says from where, that it was this site."""
    origin = flask.request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != flask.request.headers.get("Host", "").lower():
        raise Forbidden("The form was sent from another site.")
    if flask.request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("The form was sent from another site.")
    given = flask.request.form.get(TOKEN, "")
    if not hmac.compare_digest(given.encode(), form_token().encode()):
        raise BadRequest("The form is out of date: go back, load the page again, and send it once more.")
