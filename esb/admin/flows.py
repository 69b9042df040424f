"""Flows: the map of the bus, each flow's picture with its figures, its source, its history and its test cases."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock
from typing import Any

import flask
import msgspec
from werkzeug.exceptions import NotFound

from esb.admin import pages, purging
from esb.admin.glimpse import Glimpse
from esb.admin.landscape import map_of
from esb.admin.live import Look, flow_numbers, map_numbers, queues_of
from esb.admin.picture import Box, picture_of, told_lines
from esb.admin.services import Services
from esb.admin.switching import control_of, install
from esb.config.definition import LoadedFlow
from esb.store import Traffic
from esb.worker.purge import Channel
from esb.worker.synthetic import Fared, fared

WINDOW = 900.0  # seconds that figures speak of
CASES = 20.0  # seconds that test cases may take; those behind are left out
HISTORY = 30  # definitions looked through


class Version(msgspec.Struct, frozen=True):
    """A flow's file as it was from a moment (epoch seconds) on."""

    hash: str
    at: float
    text: str


def blueprint(services: Services) -> flask.Blueprint:
    """``/flows``."""
    area = flask.Blueprint("flows", __name__, url_prefix="/flows")
    look = looker(services)
    running = Lock()

    @area.get("")
    def index() -> Any:
        seen = look()
        numbers = map_numbers(seen, services.definition)
        with services.store.reading() as t:
            pauses = {one.name: one for one in t.switches.all("flow")}
        return flask.render_template(
            "flows/index.html", flows=list(services.definition.flows.values()), picture=map_of(services.definition),
            numbers=numbers, address=address, look=seen, pauses=pauses,
        )  # fmt: skip

    @area.get("/<name>")
    def show(name: str) -> Any:
        return _page(services, look(), find(services, name))

    @area.post("/<name>/cases")
    def cases(name: str) -> Any:
        flow = find(services, name)
        with running:  # one at a time: they use the processor as messages do
            results, whole = run_cases_of(services, flow.name, "flow")
        return _page(services, look(), flow, cases=results, whole=whole)

    install(area, services)
    purging.install(area, services, Channel.of_flow, partial(find, services))
    return area


def looker(services: Services) -> Callable[[], Look]:
    """What broker and store say, a few seconds old at most; both are asked on threads of their own."""
    queues = queues_of(services.definition)
    depths = Glimpse(lambda: services.broker.depths(queues), services.clock)
    traffic = Glimpse(lambda: _traffic(services), services.clock)

    def look() -> Look:
        waiting, trouble = depths.look()
        seen, _ = traffic.look()
        return Look(seen or Traffic(services.clock()), waiting or {}, trouble)

    return look


def _traffic(services: Services) -> Traffic:
    with services.store.reading() as t:
        return t.tracking.traffic(services.clock() - WINDOW)


def address(box: Box) -> str:
    """Where a box of a picture leads."""
    names = {"endpoint": "endpoints.show", "flow": "flows.show", "saga": "sagas.index", "event": "contracts.show"}
    view = names.get(box.kind, "")
    if not box.link or view not in flask.current_app.view_functions:
        return ""
    if box.kind == "event":
        return flask.url_for(view, ref=box.link)
    return flask.url_for(view, name=box.link)


def find(services: Services, name: str) -> LoadedFlow:
    """A flow, or 404."""
    flow = services.definition.flows.get(name)
    if flow is None:
        raise NotFound(f"There is no flow {name}.")
    return flow


def _page(services: Services, look: Look, flow: LoadedFlow, cases: Any = None, whole: bool = True) -> str:
    versions = _versions(services, flow.file)
    old, new = _compared(versions)
    return flask.render_template(
        "flows/show.html", flow=flow, picture=picture_of(flow), address=address, look=look,
        numbers=flow_numbers(look, services.store, services.definition, flow.name), lines=list(told_lines(flow)),
        source=services.definition.files.get(flow.file, "").splitlines(), versions=versions, old=old, new=new,
        difference=_difference(old, new) if old and new else (), cases=cases, whole=whole,
        control=control_of(services, flow.name),
        tested=_tested(services, flow),
    )  # fmt: skip


def _tested(services: Services, flow: LoadedFlow) -> Fared | None:
    """How its latest test message fared; None where it has none."""
    if flow.test_message is None:
        return None
    with services.store.reading() as t:
        return fared(t, flow, services.clock())


def _versions(services: Services, file: str) -> list[Version]:
    """The file's texts in the definitions that were in force, the newest first; unchanged ones only once."""
    with services.store.reading() as t:
        history = t.definitions.history(HISTORY)
    found: list[Version] = []
    for stored in reversed(history):
        text = stored.files.get(file)
        if text is not None and (not found or found[-1].text != text):
            found.append(Version(stored.hash, stored.activated_at, text))
    return found[::-1]


def _compared(versions: Sequence[Version]) -> tuple[Version | None, Version | None]:
    """The two that were asked for, else the last change."""
    by_hash = {version.hash: version for version in versions}
    new = by_hash.get(pages.arg("new")) or (versions[0] if versions else None)
    old = by_hash.get(pages.arg("old")) or (versions[1] if len(versions) > 1 else None)
    return old, new


def _difference(old: Version, new: Version) -> list[tuple[str, str]]:
    """(class, line) of a unified difference, without its head."""
    lines = difflib.unified_diff(old.text.splitlines(), new.text.splitlines(), lineterm="", n=3)
    words = {"+": "added", "-": "removed", "@": "place"}
    return [(words.get(line[:1], ""), line) for line in lines if not line.startswith(("---", "+++"))]


def run_cases_of(services: Services, name: str, kind: str) -> tuple[list[Any], bool]:
    """The results of the test cases of a flow or mapping, and whether there was time for all."""
    deadline = time.monotonic() + CASES
    results = []
    for result in services.cases(f" {name}: "):
        if (result.kind, result.tested) == (kind, name):
            results.append(result)
        if time.monotonic() > deadline:
            return results, False
    return results, True
