"""Signing in and out, and the one-time links that set a password."""

from __future__ import annotations

import math
import threading
from typing import Any

import flask
from werkzeug.exceptions import NotFound, TooManyRequests

from esb.admin import pages
from esb.admin.access import public, set_cookie, visitor
from esb.admin.limiter import Limiter
from esb.admin.services import Services
from esb.errors import EsbError
from esb.store import FIRST, Transaction
from esb.store.credentials import LONGEST, SHORTEST, hash_password, new_token, token_hash, verify_password

AT_ONCE = 2  # passwords checked side by side: each takes 32 MB and a tenth of a second


def blueprint(services: Services) -> flask.Blueprint:
    """``/sign-in``, ``/sign-out`` and ``/link/<token>``."""
    area = flask.Blueprint("signin", __name__)
    door = Door(services)

    @area.get("/sign-in")
    @public
    def index() -> Any:
        wanted = pages.inside(pages.arg("next"))
        if visitor():
            return flask.redirect(wanted or flask.url_for("overview.index"), 303)
        if flask.request.headers.get("Sec-Fetch-Site") == "cross-site":
            # A link on another site: the browser kept the cookie back. Asked again from here, it sends it.
            return flask.render_template("signin/again.html", address=wanted or flask.url_for("overview.index"))
        with services.store.reading() as t:
            first = not t.users.any()
        return flask.render_template("signin/index.html", wanted=wanted, first=first, problem="", name="")

    @area.post("/sign-in")
    @public
    def enter() -> Any:
        name = pages.field("name")
        if not door.opens(name, flask.request.form.get("password", "")):
            wanted = pages.inside(pages.field("next"))
            problem = "Name and password do not go together."
            page = flask.render_template("signin/index.html", wanted=wanted, first=False, problem=problem, name=name)
            return page, 403
        return _signed_in(services, name)

    @area.post("/sign-out")
    def leave() -> Any:
        session = visitor()
        assert session is not None
        with services.store.transaction() as t:
            t.sessions.close(session.id, session.user)
        return _forget(services, flask.redirect(flask.url_for("signin.index"), 303))

    _links(area, services, door)
    return area


def _links(area: flask.Blueprint, services: Services, door: Door) -> None:
    @area.get("/link/<token>")
    @public
    def link(token: str) -> Any:
        return _link_page(_user_of(services, token))

    @area.post("/link/<token>")
    @public
    def use(token: str) -> Any:
        _user_of(services, token)  # anybody may post here: a hash costs too much to make it for nothing
        password = flask.request.form.get("password", "")
        if password != flask.request.form.get("again", ""):
            return _refused(services, token, "The two passwords differ.")
        try:
            name = _set_password(services, token, door.hashed(password))
        except EsbError as error:
            if error.kind != EsbError.kind:  # the store's own troubles have a page of their own
                raise
            return _refused(services, token, str(error))
        pages.notice("Your password is set, and you are signed in.")
        return _signed_in(services, name)


class Door:
    """Checks passwords: not too many at once, not too many wrong ones."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._gate = threading.BoundedSemaphore(AT_ONCE)
        # A name from one address: five wrong a minute. One address, or one name, all in all: thirty.
        self._limits = (Limiter(services.clock, 5, 60.0), Limiter(services.clock, 30, 60.0))

    def opens(self, name: str, password: str) -> bool:
        """Whether they go together. Raises ``TooManyRequests`` when it does not listen."""
        address = flask.request.remote_addr or ""
        keys = ((self._limits[0], f"{name} {address}"), (self._limits[1], f"at {address}"), (self._limits[1], name))
        wait = max(limiter.wait(key) for limiter, key in keys)
        if wait > 0:
            text = "Too many wrong passwords: wait a minute, then try again."
            raise TooManyRequests(text, retry_after=math.ceil(wait))
        with self._services.store.reading() as t:
            user = t.users.get(name)
        with self._gate:
            right = verify_password(password, user.password if user else "")
        if not right:
            for limiter, key in keys:
                limiter.failed(key)
        return right

    def hashed(self, password: str) -> str:
        """What to keep of a new one. Raises ``EsbError`` when it is too short or too long."""
        with self._gate:
            return hash_password(password)


def _signed_in(services: Services, name: str) -> Any:
    """A new session, whatever there was before (session fixation)."""
    token = new_token()
    before = visitor()
    with services.store.transaction() as t:
        if before:
            t.sessions.close(before.id, before.user)
        t.sessions.open(
            token_hash(token), name, services.clock(), services.settings.session,
            flask.request.remote_addr or "", flask.request.headers.get("User-Agent", ""),
        )  # fmt: skip
        t.users.signed_in(name)
    flask.g.secret = token
    response = pages.back(flask.url_for("overview.index"))
    set_cookie(services, response, "session", token, services.settings.session)
    set_cookie(services, response, "visit", "")
    return response


def _forget(services: Services, response: Any) -> Any:
    set_cookie(services, response, "session", "")
    return response


def _usable(t: Transaction, user: str | None) -> str:
    """The user of a link. The first link opens nothing any more once somebody is there."""
    if user is None or (user == FIRST and t.users.any()):
        raise NotFound
    return user


def _user_of(services: Services, token: str) -> str:
    """Whose link it is, which stays good."""
    with services.store.reading() as t:
        return _usable(t, t.links.peek(token_hash(token), services.clock()))


def _set_password(services: Services, token: str, hashed: str) -> str:
    """Whose it is now. The link is used up in the same transaction, or still there when something was wrong."""
    with services.store.transaction() as t:
        t.users.alone()
        user = _usable(t, t.links.use(token_hash(token), services.clock()))
        if user != FIRST:
            t.users.set_password(user, hashed, user, "by a link")
            return user
        name = pages.field("name")
        t.users.add(name, "admin", name, hashed, "the first user")
        t.links.remove(FIRST)
        return name


def _refused(services: Services, token: str, problem: str) -> Any:
    return _link_page(_user_of(services, token), problem), 422


def _link_page(user: str, problem: str = "") -> str:
    return flask.render_template(
        "signin/link.html", user=user, first=user == FIRST, problem=problem, shortest=SHORTEST, longest=LONGEST,
        name=pages.field("name"),
    )  # fmt: skip
