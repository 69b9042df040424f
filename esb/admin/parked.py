"""Parked messages: what waits for a person, by cause; what can be done about one, some, or a whole group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
import msgspec
from werkzeug.exceptions import BadRequest, NotFound

from esb.admin import pages
from esb.admin.access import requires
from esb.admin.excerpts import excerpts
from esb.admin.services import Services
from esb.broker.port import REPLY_TO
from esb.errors import EsbError, StoreError
from esb.message import JSON
from esb.ports import Reply
from esb.store import Chosen, Parked, Transaction
from esb.worker import repair, settle
from esb.worker.journey import pretty
from esb.worker.replies import Replies

PAGE = 50
SHOWN = 64 * 1024  # bytes of a body that a page shows
_DONE = {"retry": "sent on again", "discard": "discarded"}


def blueprint(services: Services) -> flask.Blueprint:
    """``/parked``."""
    area = flask.Blueprint("parked", __name__, url_prefix="/parked")

    @area.get("")
    def index() -> Any:
        with services.store.reading() as t:
            groups = t.parked.groups()
            replays = t.replays.open()
        total = sum(group.count for group in groups)
        return flask.render_template("parked/index.html", groups=groups, total=total, replays=replays)

    @area.get("/group")
    def group() -> Any:
        return _group(services)

    @area.get("/message")
    def message() -> Any:
        return _message(services)

    @area.get("/case")
    def case() -> Any:
        return _case(services)

    _acts(area, services)
    _settling(area, services)
    return area


def _acts(area: flask.Blueprint, services: Services) -> None:
    @area.post("/act")
    @requires("operator")
    def act() -> Any:
        """Retry or discard: messages by key, or everything of a group that was parked when the page was made."""
        word = pages.field("act")
        if word not in _DONE:
            raise BadRequest("There is no such act.")
        chosen = meant()
        if not chosen:
            pages.notice("Nothing is selected.", "warn")
            return pages.back(flask.url_for("parked.index"))
        done = repair.act_on(services.store, word, chosen, pages.who(), pages.reason())  # type: ignore[arg-type]
        said = f"{done.count} {'message' if done.count == 1 else 'messages'}"
        ended = "will be sent on, a portion at a time" if done.replay else _DONE[word]
        pages.notice(f"{said} {ended}.", "ok" if done.count else "warn")
        return pages.back(flask.url_for("parked.index"))

    @area.post("/edit")
    @requires("operator")
    def edit() -> Any:
        key, body = _key(pages.field("key")), flask.request.form.get("body", "")
        why = pages.reason()
        try:
            repair.edit(services.store, services.parts, key, body.replace("\r\n", "\n").encode(), pages.who(), why)
        except StoreError:
            raise
        except EsbError as error:
            return _message(services, key, body, str(error)), 422
        pages.notice("Changed. It is still parked: a retry sends it on.")
        return pages.back(flask.url_for("parked.message", id=key[0], place=key[1]))


def _settling(area: flask.Blueprint, services: Services) -> None:
    @area.post("/settle")
    @requires("operator")
    def settled() -> Any:
        """A person has looked at the other side, and says how it ended."""
        key, outcome, why = _key(pages.field("key")), pages.field("outcome"), pages.reason()
        try:
            _settle(services, key, outcome, why)
        except StoreError:
            raise
        except EsbError as error:
            pages.notice(f"Not settled: {error}", "bad")
        else:
            pages.notice(f"Settled as {outcome}. Nothing was sent to the endpoint.")
        return pages.back(flask.url_for("parked.message", id=key[0], place=key[1]))


def _settle(services: Services, key: repair.Key, outcome: str, why: str) -> None:
    """Raises ``EsbError`` where it cannot be settled so."""
    name = key[1].partition(":")[2]
    with services.store.transaction() as t:
        row = t.parked.get(*key)
        if row is None or name not in services.definition.endpoints or outcome not in ("done", "failed"):
            raise BadRequest("Only what is parked at an endpoint is settled, as done or as failed.")
        replies = Replies(services.definition.endpoints[name], services.context.formats[name], services.parts.contracts)
        if outcome == "failed":
            settle.failed(t, replies, row, pages.who(), why)
            return
        body = flask.request.form.get("reply", "").strip().encode()
        reply = Reply(detail="settled", body=body, content_type=JSON)
        settle.done(t, replies, row, reply, pages.who(), why)


def _group(services: Services) -> str:
    asked, now = _cause(pages.arg), services.clock()
    after = pages.arg("after")
    with services.store.reading() as t:
        count = t.parked.count(asked)
        rows = t.parked.find(asked, after=_cursor(after), limit=PAGE + 1)
    more = pages.here(after=_text(rows[PAGE - 1].cursor)) if len(rows) > PAGE else ""
    return flask.render_template(
        "parked/group.html", asked=asked, rows=rows[:PAGE], count=count, more=more, now=repr(now),
        first=pages.here(after=None) if after else "",
    )  # fmt: skip


def _message(services: Services, key: repair.Key | None = None, draft: str | None = None, problem: str = "") -> str:
    """One parked message; with a ``draft`` that was refused, and why."""
    id, place = key or (pages.arg("id"), pages.arg("place"))
    with services.store.reading() as t:
        found = t.parked.get(id, place)
        stored = t.definitions.get(found.definition) if found else None
        acts = t.audit.list(f"{id} {place}", limit=20)
        no_case = _no_case(services, t, found) if found and found.status == "parked" else ""
    if found is None:
        raise NotFound
    body = pretty(found.message.body[:SHOWN]) if len(found.message.body) <= SHOWN else ""
    return flask.render_template(
        "parked/message.html", one=found, body=body, draft=draft, problem=problem, acts=acts,
        asked=REPLY_TO in found.properties, no_case=no_case,
        excerpts=excerpts(found.error, stored.files if stored else {}, services.definition.secrets),
    )  # fmt: skip


def _no_case(services: Services, t: Transaction, found: Parked) -> str:
    """Why it cannot be kept as a test case, or ""; said before somebody downloads an error page."""
    try:
        services.export(t, found)
    except StoreError:
        raise
    except EsbError as error:
        return str(error)
    return ""


def _case(services: Services) -> Any:
    with services.store.reading() as t:
        found = t.parked.get(pages.arg("id"), pages.arg("place"))
        if found is None:
            raise NotFound
        return _attached(services, found, t)


def _attached(services: Services, found: Parked, t: Transaction) -> Any:
    try:
        exported = services.export(t, found)
    except StoreError:
        raise
    except EsbError as error:
        raise BadRequest(f"It cannot be kept as a test case: {error}") from error
    response = flask.make_response(exported.text)
    response.headers["Content-Type"] = "application/yaml"
    response.headers["Content-Disposition"] = f"attachment; filename={exported.file.rpartition('/')[2]}"
    return response


def meant() -> Chosen | list[repair.Key]:
    """What a form is about: the keys that are ticked, or the group that it names."""
    if pages.field("all"):
        try:
            return msgspec.structs.replace(_cause(pages.field), until=float(pages.field("until")))
        except ValueError:
            raise BadRequest("The form does not say until when.") from None
    return [_key(text) for text in flask.request.form.getlist("key")]


def _cause(word: Callable[[str], str]) -> Chosen:
    """Those that a group is of."""
    return Chosen(kind=word("kind"), place=word("place"), error=word("error"))


def _key(text: str) -> repair.Key:
    """A key as forms carry it: the place, which has no blank in it, and the id."""
    place, _, id = text.partition(" ")
    return id, place


def _cursor(text: str) -> tuple[float, str, str] | None:
    at, _, key = text.partition("~")
    try:
        return (float(at), *_key(key)) if key else None
    except ValueError:
        return None


def _text(cursor: tuple[float, str, str]) -> str:
    at, id, place = cursor
    return f"{at!r}~{place} {id}"
