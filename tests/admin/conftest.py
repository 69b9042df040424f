"""The admin interface over an embedded bus: its application, and a browser for each role.

``browser("operator")`` is signed in; ``browser()`` is a stranger. Its ``post`` carries the form's token as a page
would; ``post_raw`` carries what you give it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
from flask.testing import FlaskClient

from esb.admin.access import TOKEN
from esb.bus import Bus
from esb.cli.scaffold import write
from esb.config import load
from esb.discovery import discover
from esb.store import ROLES, credentials
from esb.store.credentials import token_hash

SESSION = "a-session-of-{}"


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a password costs is tested with the store."""
    monkeypatch.setattr(credentials, "_N", 2**4)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bus directory with its tables and queues, and a user of each role, whose sessions are open."""
    place = tmp_path_factory.mktemp("admin") / "shop"
    write(place)
    bus = Bus(load(place, discover()), discover())
    bus.prepare()
    with bus.store.transaction() as t:
        for role in ROLES:
            t.users.add(role, role, "tests")
            t.sessions.open(token_hash(SESSION.format(role)), role, bus.context.clock(), 3600.0, "127.0.0.1", "tests")
    bus.close()
    return place


@pytest.fixture
def place(prepared: Path, tmp_path: Path) -> Path:
    """A copy of it for each test."""
    return Path(shutil.copytree(prepared, tmp_path / "shop"))


@pytest.fixture
def bus(place: Path) -> Iterator[Bus]:
    """The bus of that directory; nothing of it runs."""
    made = Bus(load(place, discover()), discover())
    yield made
    made.close()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> jinja2.BytecodeCache:
    """Templates as they were compiled for the first application: that took most of the time of a test."""
    return jinja2.FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def app(bus: Bus, compiled: jinja2.BytecodeCache) -> Any:
    """The Flask application."""
    made = bus.admin()
    made.jinja_env.bytecode_cache = compiled
    return made


class Browser(FlaskClient):
    """Flask's test client, with the token that forms carry."""

    def token(self) -> str:
        """The token of this browser's forms; a stranger gets one with the sign-in page."""
        page = self.get("/account", follow_redirects=True).text
        return page.partition(f'name="{TOKEN}" value="')[2].partition('"')[0]

    def post(self, *args: Any, **kwargs: Any) -> Any:
        """As a page's form would be sent."""
        kwargs["data"] = {TOKEN: self.token(), **(kwargs.get("data") or {})}
        return super().post(*args, **kwargs)

    def post_raw(self, *args: Any, **kwargs: Any) -> Any:
        """As given."""
        return super().post(*args, **kwargs)


@pytest.fixture
def browser(app: Any) -> Callable[..., Browser]:
    """A browser of somebody with a role, or of a stranger."""
    app.test_client_class = Browser

    def make(role: str = "") -> Browser:
        client: Browser = app.test_client()
        if role:
            client.set_cookie("esb_session", SESSION.format(role))
        return client

    return make
