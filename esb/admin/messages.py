"""Messages: what went through the bus, found by whatever somebody knows of it."""

from __future__ import annotations

from typing import Any

import flask

from esb.admin import pages
from esb.admin.services import Services
from esb.store import Status
from esb.units import seconds

PAGE = 50
RANGES = (("15m", "15 minutes"), ("1h", "hour"), ("1d", "day"), ("7d", "7 days"))
SORTS = (
    ("in:", "every way in"),
    ("flow:", "every flow"),
    ("out:", "every way out"),
    ("saga:", "every saga"),
    ("event:", "events nobody wants"),
)
_BETWEEN = "~"  # the parts of a cursor; the last may hold it, too
_WORDS = ("q", "type", "at", "status", "last", "from", "to")


def blueprint(services: Services) -> flask.Blueprint:
    """``/messages``."""
    area = flask.Blueprint("messages", __name__, url_prefix="/messages")

    @area.get("")
    def index() -> Any:
        asked = {name: pages.arg(name) for name in _WORDS}
        before = pages.arg("before")
        with services.store.reading() as t:
            meaning = t.tracking.meaning(asked["q"])
            filters = meaning | _filters(asked, services.clock())
            hops = t.tracking.find(**filters, before=_cursor(before), limit=PAGE + 1)
        older = pages.here(before=_text(hops[PAGE - 1].cursor)) if len(hops) > PAGE else ""
        return flask.render_template(
            "messages/index.html", hops=hops[:PAGE], older=older, newest=pages.here(before=None) if before else "",
            asked=asked, filled=any(asked.values()), ranges=RANGES, statuses=[status.label for status in Status],
            types=_with(_types(services), asked["type"]), places=_places(services, asked["at"]),
        )  # fmt: skip

    return area


def _filters(asked: dict[str, str], now: float) -> dict[str, Any]:
    """What the bar of filters says, as arguments of ``find``; a word that means nothing filters nothing."""
    status = [one for one in Status if one.label == asked["status"]]
    since = pages.when("from")
    if asked["last"] in dict(RANGES):
        since = now - seconds(asked["last"])
    found = {"type": asked["type"], "place": asked["at"], "status": status, "since": since, "until": pages.when("to")}
    return {name: value for name, value in found.items() if value}


def _cursor(text: str) -> tuple[float, str, str] | None:
    at, _, rest = text.partition(_BETWEEN)
    place, _, id = rest.partition(_BETWEEN)
    try:
        return (float(at), id, place) if id else None
    except ValueError:
        return None


def _text(cursor: tuple[float, str, str]) -> str:
    at, id, place = cursor
    return _BETWEEN.join((repr(at), place, id))


def _types(services: Services) -> list[str]:
    """Types that the definition knows: of its contracts, and endpoints that receive without one."""
    definition = services.definition
    known = {ref.rpartition("/v")[0] for ref in definition.contracts}
    return sorted(
        known | {e.name for e in definition.endpoints.values() if e.receive and not e.receive.common.contract}
    )


def _with(known: list[str], asked: str) -> list[str]:
    return known if not asked or asked in known else [*known, asked]


def _places(services: Services, asked: str) -> list[tuple[str, str]]:
    """(place, what people call it): all of a sort first, then each."""
    definition = services.definition
    names = {
        "in": [e.name for e in definition.endpoints.values() if e.receive],
        "flow": definition.flows,
        "out": [e.name for e in definition.endpoints.values() if e.operations],
        "saga": definition.sagas,
    }
    each = [(f"{sort}:{name}", f"{sort}: {name}") for sort, those in names.items() for name in sorted(those)]
    found = [*SORTS, *each]
    return found if not asked or asked in dict(found) else [*found, (asked, asked)]
