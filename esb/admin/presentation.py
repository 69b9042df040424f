"""How values look: filters and functions that every template has."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flask
import jinja2
from markupsafe import Markup, escape

from esb import __version__
from esb.admin import access, pages
from esb.admin.drawing import fit
from esb.admin.services import Services

if TYPE_CHECKING:
    from esb.admin.areas import Area

THEMES = ("auto", "light", "dark")
THEME = "esb_theme"
NONE = "\u2013"  # an en dash, where there is no number
_ROW = re.compile(r"<tr\b.*?</tr>", re.DOTALL)
_CELL = re.compile(r"<(t[dh])\b([^>]*)>(.*?)</\1>", re.DOTALL)
_TONES = {
    "ok": ("completed", "done", "accepted", "closed", "up", "ready", "alive", "active", "resolved", "compensated"),
    "bad": ("parked", "failed", "open", "down", "error", "in doubt", "asks a person"),
    "warn": ("retrying", "probing", "waiting", "compensating", "late", "suspect"),
    "info": ("running", "in progress", "published", "new"),
}
# The order matters: most of them claim to be the later ones too.
_BROWSERS = {"Firefox/": "Firefox", "Edg/": "Edge", "OPR/": "Opera", "Chrome/": "Chrome", "Safari/": "Safari"}
_SYSTEMS = {"Windows": "Windows", "Android": "Android", "iPhone": "iPhone", "Mac OS": "macOS", "Linux": "Linux"}


def install(app: flask.Flask, services: Services, placed: Sequence[tuple[Area, str]]) -> None:
    """Give the templates what they use; a name that is missing is an error, not an empty place."""
    app.jinja_env.undefined = jinja2.StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= {
        "moment": moment, "iso": iso, "count": count, "duration": duration, "size": size, "tone": tone, "short": short,
        "brief": brief, "rate": rate, "counted": counted, "browser": browser, "fit": fit,
        "labelled": labelled,
    }  # fmt: skip
    app.jinja_env.globals |= {
        "asset": _assets(app), "bus": services.definition.config.bus, "version": __version__,
        "here": pages.here, "may": access.may, "notices": pages.notices, "themes": THEMES,
        "token_field": access.TOKEN, "form_token": _form_token, "exists": lambda name: name in app.view_functions,
    }  # fmt: skip
    app.context_processor(lambda: {
        "visitor": access.visitor(), "theme": _theme(), "navigation": _navigation(placed), "at": _at()
    })  # fmt: skip
    app.after_request(pages.forget_notices)


def moment(seconds: float | None) -> str:
    """A time in UTC, to the second: ``2026-03-01 12:00:00``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S") if seconds else ""


def iso(seconds: float | None) -> str:
    """A time as machines read it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else ""


def count(number: float | None) -> str:
    """A whole number with thin spaces between thousands."""
    return NONE if number is None else f"{number:,.0f}".replace(",", "\u202f")


def counted(number: float, word: str) -> str:
    """``1 flow``, ``2 flows``."""
    return f"{count(number)} {word}" if number == 1 else f"{count(number)} {word}s"


def rate(per_second: float) -> str:
    """In the unit that gives a number people can grasp: ``12/s``, ``3.4/min``, ``0``."""
    for factor, unit in ((1, "s"), (60, "min"), (3600, "h")):
        number = per_second * factor
        if number >= 1:
            return f"{count(number) if number >= 100 else f'{number:.3g}'}/{unit}"
    return "0"


def duration(seconds: float | None) -> str:
    """As short as it can be told apart: ``12 ms``, ``3.4 s``, ``5 min``, ``2 h``, ``3 d``."""
    if seconds is None:
        return NONE
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.00995 else f"{seconds * 1000:.1f} ms"
    for unit, name, limit in ((1, "s", 120), (60, "min", 7200), (3600, "h", 172800)):
        if seconds < limit:
            return (
                f"{seconds / unit:.1f} {name}" if seconds / unit < 10 and unit == 1 else f"{seconds / unit:.0f} {name}"
            )
    return f"{seconds / 86400:.0f} d"


def size(number: int | None) -> str:
    """Bytes: ``812 B``, ``3.2 kB``, ``1.4 MB``."""
    if number is None:
        return NONE
    for unit, name in ((1, "B"), (1e3, "kB"), (1e6, "MB")):
        if number < unit * 1000:
            return f"{number} B" if unit == 1 else f"{number / unit:.1f} {name}"
    return f"{number / 1e9:.1f} GB"


def short(text: str | None, width: int = 80) -> str:
    """The first line of a text, cut."""
    line = (text or "").partition("\n")[0]
    return line if len(line) <= width else line[: width - 1] + "…"


def brief(id: str) -> str:
    """An id by its ends: a family of messages begins alike."""
    return id if len(id) <= 16 else f"{id[:8]}…{id[-6:]}"


def labelled(rows: Markup, heads: Sequence[str | tuple[str, str]]) -> Markup:
    """Rows of a table whose cells know their heads, for windows that are too narrow for columns.

    Only templates write tags, for what is shown is escaped; so tags can be found as texts.
    """
    words = [head if isinstance(head, str) else head[0] for head in heads]

    def row(found: re.Match[str]) -> str:
        labels = iter(words)
        return _CELL.sub(lambda cell: _labelled(cell, next(labels, "")), found[0])

    return Markup(_ROW.sub(row, rows))  # noqa: S704 - as safe as it was: labels are escaped


def _labelled(cell: re.Match[str], label: str) -> str:
    tag, attributes, content = cell.groups()
    blank = " data-blank" if content.strip() in ("", NONE, f'<span class="none">{NONE}</span>') else ""
    return f'<{tag}{attributes} data-label="{escape(label)}"{blank}>{content}</{tag}>'


def browser(agent: str) -> str:
    """``Firefox on Linux``, of what a browser says of itself; else its first word."""
    name = next((shown for word, shown in _BROWSERS.items() if word in agent), "")
    system = next((shown for word, shown in _SYSTEMS.items() if word in agent), "")
    return " on ".join(filter(None, (name, system))) or short(agent.partition(" ")[0], 40) or "a program"


def tone(word: str) -> str:
    """The colour that goes with a status; the word itself is always there too."""
    return next((name for name, words in _TONES.items() if word in words), "idle")


def _form_token() -> str:
    flask.g.wrote_form = True
    return access.form_token()


def _theme() -> str:
    chosen = flask.request.cookies.get(THEME, "auto")
    return chosen if chosen in THEMES else "auto"


def _navigation(placed: Sequence[tuple[Area, str]]) -> list[tuple[str, list[tuple[Area, str]]]]:
    """What the one who asks may open, in groups."""
    shown = [(area, name) for area, name in placed if area.title and access.may(area.role)]
    return [(group, list(those)) for group, those in groupby(shown, key=lambda one: one[0].group)]


def _at() -> str:
    """The area of this page."""
    return flask.request.blueprint or ""


def _assets(app: flask.Flask) -> Any:
    """Addresses of static files that change with their content, so that browsers may keep them for long."""
    folder = Path(str(app.static_folder))
    hashes = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in folder.iterdir()}
    return lambda name: flask.url_for("static", filename=name, v=hashes[name])
