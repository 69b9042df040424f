"""One's own account: password, sessions, the look of the pages."""

from __future__ import annotations

from typing import Any

import flask
from werkzeug.exceptions import BadRequest

from esb.admin import pages
from esb.admin.access import set_cookie, visitor
from esb.admin.presentation import THEME, THEMES
from esb.admin.services import Services
from esb.admin.signin import Door
from esb.errors import EsbError
from esb.store.credentials import LONGEST, SHORTEST, new_token, token_hash

A_YEAR = 365 * 86400  # seconds


def blueprint(services: Services) -> flask.Blueprint:
    """``/account`` and ``/theme``."""
    area = flask.Blueprint("account", __name__)
    door = Door(services)

    @area.get("/account")
    def index() -> Any:
        return _page(services)

    @area.post("/account/password")
    def password() -> Any:
        try:
            _change(services, door)
        except EsbError as error:
            if error.kind != EsbError.kind:
                raise
            pages.notice(str(error), "bad")
            return pages.back(flask.url_for("account.index"))
        return _renewed(services)

    @area.post("/account/sessions")
    def sessions() -> Any:
        session = visitor()
        assert session is not None
        with services.store.transaction() as t:
            ended = t.sessions.close_all(session.user, but=session.id)
        pages.notice(f"Signed out in {ended} other {'place' if ended == 1 else 'places'}.")
        return pages.back(flask.url_for("account.index"))

    @area.post("/theme")
    def theme() -> Any:
        chosen = pages.field("theme")
        if chosen not in THEMES:
            raise BadRequest("There is no such look.")
        response = pages.back(flask.url_for("overview.index"))
        pages.keep(response, THEME, chosen, A_YEAR)
        return response

    return area


def _page(services: Services) -> str:
    session = visitor()
    assert session is not None
    with services.store.reading() as t:
        user, sessions = t.users.get(session.user), t.sessions.of(session.user, services.clock())
    return flask.render_template(
        "account/index.html", user=user, sessions=sessions, session=session, shortest=SHORTEST, longest=LONGEST
    )


def _change(services: Services, door: Door) -> None:
    """Only who knows the old password sets a new one: a browser left open is not enough."""
    form = flask.request.form
    if form.get("password", "") != form.get("again", ""):
        raise EsbError("The two new passwords differ.")
    if not door.opens(pages.who(), form.get("old", "")):
        raise EsbError("That is not your password.")
    hashed = door.hashed(form.get("password", ""))
    with services.store.transaction() as t:
        t.users.set_password(pages.who(), hashed, pages.who(), "by the user")


def _renewed(services: Services) -> Any:
    """Every session ended with the old password; this browser gets a new one."""
    token = new_token()
    with services.store.transaction() as t:
        t.sessions.open(
            token_hash(token), pages.who(), services.clock(), services.settings.session,
            flask.request.remote_addr or "", flask.request.headers.get("User-Agent", ""),
        )  # fmt: skip
    flask.g.secret = token
    pages.notice("Your password is changed. You are signed out everywhere else.")
    response = pages.back(flask.url_for("account.index"))
    set_cookie(services, response, "session", token, services.settings.session)
    return response
