"""Users: who may sign in, with which role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
from werkzeug.exceptions import BadRequest

from esb.admin import pages
from esb.admin.access import requires
from esb.admin.services import Services
from esb.errors import EsbError
from esb.store import ROLES, Role, Transaction
from esb.store.links import make_link


def blueprint(services: Services) -> flask.Blueprint:
    """``/users``; all of it is for admins."""
    area = flask.Blueprint("users", __name__, url_prefix="/users")

    @area.get("")
    @requires("admin")
    def index() -> Any:
        return _page(services)

    @area.post("")
    @requires("admin")
    def add() -> Any:
        name, role, why = pages.field("name"), _role(), pages.reason()

        def work(t: Transaction) -> str:
            t.users.add(name, role, pages.who(), why=why)
            return make_link(t, name, services.clock(), pages.who())

        return _linked(services, name, work)

    @area.post("/<name>/role")
    @requires("admin")
    def role(name: str) -> Any:
        wanted, why = _role(), pages.reason()
        return _act(services, lambda t: t.users.set_role(name, wanted, pages.who(), why), f"{name} is {wanted} now.")

    @area.post("/<name>/link")
    @requires("admin")
    def link(name: str) -> Any:
        why = pages.reason()
        return _linked(services, name, lambda t: make_link(t, name, services.clock(), pages.who(), why))

    @area.post("/<name>/remove")
    @requires("admin")
    def remove(name: str) -> Any:
        why = pages.reason()
        return _act(services, lambda t: t.users.remove(name, pages.who(), why), f"{name} is removed.")

    return area


def _role() -> Role:
    wanted = pages.field("role")
    if wanted not in ROLES:
        raise BadRequest("There is no such role.")
    return wanted


def _act(services: Services, work: Callable[[Transaction], None], done: str) -> Any:
    try:
        with services.store.transaction() as t:
            work(t)
        pages.notice(done)
    except EsbError as error:
        if error.kind != EsbError.kind:
            raise
        pages.notice(str(error), "bad")
    return pages.back(flask.url_for("users.index"))


def _linked(services: Services, name: str, work: Callable[[Transaction], str]) -> Any:
    """The link is shown once, in the answer itself: it is stored nowhere."""
    try:
        with services.store.transaction() as t:
            token = work(t)
    except EsbError as error:
        if error.kind != EsbError.kind:
            raise
        pages.notice(str(error), "bad")
        return pages.back(flask.url_for("users.index"))
    origin = services.settings.url or flask.request.host_url
    link = origin.rstrip("/") + flask.url_for("signin.link", token=token)
    return _page(services, link, name)


def _page(services: Services, link: str = "", linked: str = "") -> str:
    with services.store.reading() as t:
        users = t.users.list()
    return flask.render_template("users/index.html", users=users, roles=ROLES, link=link, linked=linked)
