"""Endpoints: what is registered, how each is doing, and what a person can do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flask
import msgspec
from pydantic import BaseModel
from werkzeug.exceptions import NotFound

from esb.admin import pages, purging
from esb.admin.access import requires
from esb.admin.flows import looker
from esb.admin.live import Look
from esb.admin.services import Services
from esb.broker.port import inbound_queue
from esb.config.definition import LoadedEndpoint
from esb.config.models import Recovery
from esb.config.secrets import MASK, redact
from esb.flow.usage import flows_at
from esb.store import BreakerRow, ClaimState, Pause, Probe, Transaction
from esb.worker.connection import try_connection
from esb.worker.purge import Channel
from esb.worker.queues import queues_to

EFFECTS = {
    "none": "reads only",
    "idempotent": "again does no harm",
    "keyed": "takes a key, so a repeat is recognised",
    "unkeyed": "a repeat would be a second effect",
}
SHOWN = 10


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint is doing. ``next_probe``: when an open breaker lets one message through, epoch seconds."""

    word: str
    breaker: BreakerRow | None
    pause: Pause | None
    probe: Probe | None
    next_probe: float | None
    parked: int
    waiting: int | None


def blueprint(services: Services) -> flask.Blueprint:
    """``/endpoints``."""
    area = flask.Blueprint("endpoints", __name__, url_prefix="/endpoints")
    look = looker(services)

    @area.get("")
    def index() -> Any:
        seen = look()
        endpoints = list(services.definition.endpoints.values())
        states = _states(services, seen)
        return flask.render_template("endpoints/index.html", endpoints=endpoints, states=states, look=seen)

    @area.get("/<name>")
    def show(name: str) -> Any:
        return _page(services, look(), _find(services, name))

    @area.post("/<name>/test")
    @requires("operator")
    def test(name: str) -> Any:
        adapter = services.adapters[_find(services, name).name]
        probe = try_connection(services.store, adapter, pages.who(), pages.field("reason"), services.clock)
        said = redact(probe.text, services.definition.secrets)
        pages.notice(f"{name} answered: {said} ({probe.ms:.0f} ms)" if probe.ok else f"{name}: {said}", _tone(probe.ok))
        return pages.back(flask.url_for("endpoints.show", name=name))

    _act(area, services, "pause", lambda t, *act: t.pauses.pause(*act), "is paused", "was paused already")
    _act(area, services, "resume", lambda t, *act: t.pauses.resume(*act), "goes on", "was not paused")
    _act(area, services, "reset", lambda t, *act: t.breakers.reset(*act), "has a closed breaker", "had none open")
    purging.install(area, services, Channel.of_endpoint, partial(_find, services))
    return area


def _act(
    area: flask.Blueprint, services: Services, word: str, change: Callable[..., bool], done: str, nothing: str
) -> None:  # fmt: skip
    """One act of an operator: the same function of the store as the command line's."""

    @area.post(f"/<name>/{word}", endpoint=word)
    @requires("operator")
    def act(name: str) -> Any:
        _find(services, name)
        with services.store.transaction() as t:
            changed = change(t, name, pages.who(), pages.reason())
        pages.notice(f"{name} {done}; all processes see it within a second." if changed else f"{name} {nothing}.")
        return pages.back(flask.url_for("endpoints.show", name=name))


def _find(services: Services, name: str) -> LoadedEndpoint:
    endpoint = services.definition.endpoints.get(name)
    if endpoint is None:
        raise NotFound(f"There is no endpoint {name}.")
    return endpoint


def _page(services: Services, look: Look, endpoint: LoadedEndpoint) -> str:
    name = endpoint.name
    with services.store.reading() as t:
        parked = [one for place in (f"out:{name}", f"in:{name}") for one in t.parked.list(place=place, limit=SHOWN)]
        claims = t.claims.list(name, 20) if endpoint.receive else []
    starts, sends = flows_at(services.definition, name)
    return flask.render_template(
        "endpoints/show.html", endpoint=endpoint, state=_states(services, look)[name], look=look, parked=parked[:SHOWN],
        claims=claims, repeats=_repeats(claims), settings=_shown(endpoint.settings, services),
        format=_shown(endpoint.format_settings, services), recovery=recovery_in_words(endpoint.recovery),
        effects=EFFECTS, starts=starts, sends=sends,
        receive=_shown(endpoint.receive.settings, services) if endpoint.receive else {},
        operations={word: _shown(o.settings, services) for word, o in endpoint.operations.items()},
        features=services.components.adapters[endpoint.adapter].features,
    )  # fmt: skip


def _states(services: Services, look: Look) -> dict[str, State]:
    with services.store.reading() as t:
        breakers, pauses, probes, parked = t.breakers.read_all(), t.pauses.all(), t.probes.all(), _parked(t)
    found = {}
    for name, endpoint in services.definition.endpoints.items():
        breaker, pause = breakers.get(name), pauses.get(name)
        isopen = breaker is not None and breaker.state == "open"
        found[name] = State(
            word="paused" if pause else breaker.state if breaker else "closed",
            breaker=breaker,
            pause=pause,
            probe=probes.get(name),
            next_probe=breaker.opened_at + endpoint.recovery.breaker.reset if breaker and isopen else None,
            parked=parked[f"out:{name}"] + parked[f"in:{name}"],
            waiting=look.waiting(
                *(queues_to(services.definition, name) if endpoint.operations else (inbound_queue(name),))
            ),
        )
    return found


def _parked(t: Transaction) -> Counter[str]:
    counts: Counter[str] = Counter()
    for group in t.parked.groups():
        counts[group.place] += group.count
    return counts


def _repeats(claims: list[ClaimState]) -> int:
    return sum(claim.repeats for claim in claims)


def _shown(settings: BaseModel, services: Services) -> Mapping[str, str]:
    """Settings for people: those that somebody gave, secrets as stars."""
    given = settings.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return {name: redact(_text(value), services.definition.secrets) for name, value in _flat(given)}


def _flat(value: Mapping[str, Any], front: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, one in value.items():
        pairs += _flat(one, f"{front}{name}.") if isinstance(one, dict) and one else [(f"{front}{name}", one)]
    return pairs


def _text(value: Any) -> str:
    if isinstance(value, str):
        return MASK if value and not value.strip("*") else value
    return msgspec.json.encode(value, enc_hook=str).decode()


def recovery_in_words(recovery: Recovery) -> list[str]:
    """What happens to a failure, in sentences."""
    waits = ", ".join(_span(wait) for wait in recovery.delays)
    tries = f"{recovery.retries} more {'try' if recovery.retries == 1 else 'tries'} at once"
    return [
        f"A failure of the system is met by {tries}" + (f", then by one after each of {waits}." if waits else "."),
        f"At most {recovery.budget.share:.0%} of the calls in {_span(recovery.budget.window)} may be tries at once, "
        f"and {recovery.budget.least} more; without one the message waits, which costs it no try.",
        f"After {recovery.breaker.failures} such failures in a row the breaker opens: nothing is sent, the backlog "
        f"stays in the broker, and one message tries again every {_span(recovery.breaker.reset)}.",
        f"A message is parked when its tries are used up, or when the system was down for {_span(recovery.give_up)}.",
        "A message that the system refuses is parked at once.",
    ]


def _span(seconds: float) -> str:
    for unit, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g} {word}"
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"


def _tone(ok: bool) -> str:
    return "ok" if ok else "bad"
