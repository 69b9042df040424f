"""Sagas: which are under way, which wait for a person, and how each came to where it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import flask
import msgspec
from werkzeug.exceptions import NotFound

from esb.admin import pages
from esb.admin.access import requires
from esb.admin.services import Services
from esb.config.models import SagaStep
from esb.saga import Saga
from esb.saga.state import ActName, Leg, Status, StepState
from esb.store import SagaRow
from esb.worker.saga_acts import ActRefused, act
from esb.worker.saga_round import saga_of

PAGE = 50
STATUSES: tuple[str, ...] = get_args(Status)
ACTS: Mapping[ActName, tuple[str, str]] = {
    "retry": ("Retry", "Sends the step under way again, under the same key: an effect that took place is recognised."),
    "skip": ("Skip", "Goes on as if the step under way had taken place. You answer for it."),
    "compensate": ("Compensate", "Turns back: what took place is undone, in reverse order."),
    "end": ("End", "Ends it here as it stands. Nothing more is sent and nothing undone; you answer for the rest."),
}
WORDS = {"none": "not yet", "started": "asked", "waiting": "waits", "unknown": "in doubt"}
TONES = {"done": "ok", "started": "info", "waiting": "warn", "failed": "bad", "unknown": "bad"}
STATUS_TONES = {"running": "info", "compensating": "warn", "stuck": "bad", "completed": "ok", "compensated": "ok"}


class Line(msgspec.Struct, frozen=True):
    """One step of a saga as the page shows it. ``config``: what the definition in force says of it, if it knows it."""

    state: StepState
    config: SagaStep | None
    current: bool


def blueprint(services: Services) -> flask.Blueprint:
    """``/sagas``."""
    area = flask.Blueprint("sagas", __name__, url_prefix="/sagas")

    @area.get("")
    def index() -> Any:
        return _list(services)

    @area.get("/<id>")
    def show(id: str) -> Any:
        return _page(services, id)

    @area.post("/<id>/<name>")
    @requires("operator")
    def perform(id: str, name: str) -> Any:
        chosen = next((known for known in ACTS if known == name), None)
        if chosen is None:
            raise NotFound(f"There is no act {name}.")
        reason = pages.reason()
        try:
            after = act(services.context, id, chosen, pages.who(), reason)
        except ActRefused as refused:
            pages.notice(str(refused), "bad")
        else:
            pages.notice(f"{after.name} {after.key} is {after.status} now.")
        return pages.back(flask.url_for("sagas.show", id=id))

    return area


def _list(services: Services) -> str:
    asked = {word: pages.arg(word) for word in ("name", "key", "status", "from", "to")}
    before = _cursor(pages.arg("before"))
    with services.store.reading() as t:
        rows = t.sagas.search(
            name=asked["name"], key=asked["key"], status=[asked["status"]] if asked["status"] in STATUSES else (),
            since=pages.when("from"), until=pages.when("to"), before=before, limit=PAGE + 1,
        )  # fmt: skip
        stuck = t.sagas.search(status=("stuck",), limit=PAGE)
        counts = t.sagas.counts()
    names = sorted({*services.definition.sagas, *(name for name, _ in counts)})
    older = pages.here(before=_text(rows[PAGE - 1])) if len(rows) > PAGE else ""
    totals = {status: sum(count for (_, one), count in counts.items() if one == status) for status in STATUSES}
    return flask.render_template(
        "sagas/index.html", rows=rows[:PAGE], stuck=stuck, names=names, asked=asked, statuses=STATUSES, totals=totals,
        filled=any(asked.values()), older=older, newest=pages.here(before=None) if before else "", tones=STATUS_TONES,
    )  # fmt: skip


def _text(row: SagaRow) -> str:
    return f"{row.started_at!r}~{row.id}"


def _cursor(text: str) -> tuple[float, str] | None:
    at, _, id = text.partition("~")
    try:
        return (float(at), id) if id else None
    except ValueError:
        return None


def _page(services: Services, id: str) -> str:
    with services.store.reading() as t:
        row = t.sagas.get(id)
    if row is None:
        raise NotFound(f"There is no saga {id}.")
    saga = saga_of(row)
    loaded = services.definition.sagas.get(saga.name)
    config = {step.name: step for step in loaded.steps} if loaded else {}
    lines = [Line(one, config.get(one.name), number == saga.at) for number, one in enumerate(saga.steps)]
    return flask.render_template(
        "sagas/show.html", saga=saga, lines=lines, title=loaded.title if loaded else "", acts=ACTS, words=WORDS,
        tones=TONES, status_tones=STATUS_TONES, waiting=waits_for(saga), active=services.definition.hash,
    )  # fmt: skip


def waits_for(saga: Saga) -> tuple[str, float]:
    """What it waits for, in words, and until when (epoch seconds; 0: for as long as it takes)."""
    if saga.is_over:
        return "", 0.0
    if saga.status == "stuck":
        return "a person, who decides what happens next", 0.0
    step = saga.steps[saga.at] if 0 <= saga.at < len(saga.steps) else None
    if step is None:
        return "its end to be told", 0.0
    leg = step.leg("undo" if saga.turned_back else "action")
    return _waiting(step, leg, "the compensation of " if saga.turned_back else ""), leg.due


def _waiting(step: StepState, leg: Leg, what: str) -> str:
    if leg.state == "started":
        return f"the answer of {what}{step.name}"
    if leg.state == "waiting":
        return f"a late answer of {step.name}, before it is undone"
    if leg.state in ("failed", "unknown"):
        return f"the next try of {what}{step.name}"
    return f"{what}{step.name} to be sent"
