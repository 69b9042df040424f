"""What goes wrong has a page that says what to do."""

from __future__ import annotations

import pytest
import structlog

from esb.errors import BrokerDown, StoreDown


@pytest.fixture
def broken(app):
    """/broken fails as a test wants it; the errors are handled as in production."""
    failures = []

    @app.get("/broken")
    def broken():
        raise failures.pop()

    app.config["PROPAGATE_EXCEPTIONS"] = False
    return failures


def test_what_nobody_foresaw_has_an_id_in_the_log(browser, broken):
    """The page shows the id and no more; the log has the rest."""
    broken.append(RuntimeError("the secret part"))
    with structlog.testing.capture_logs() as logs:
        answer = browser("viewer").get("/broken")
    [entry] = logs
    assert (answer.status_code, entry["id"] in answer.text, "secret" in answer.text) == (500, True, False)
    assert str(entry["exc_info"]) == "the secret part"


@pytest.mark.parametrize("error", [StoreDown("db at host7"), BrokerDown("mq at host7")])
def test_what_is_down_is_said(browser, broken, error):
    """503, with when to come again."""
    broken.append(error)
    answer = browser("viewer").get("/broken")
    assert (answer.status_code, answer.headers["Retry-After"], "host7" in answer.text) == (503, "5", True)


def test_a_stranger_learns_no_names_of_servers(browser, bus, monkeypatch):
    """The sign-in page without a store says so, and nothing about where it is."""

    def down():
        raise StoreDown("db at host7")

    monkeypatch.setattr(bus.store, "reading", down)
    answer = browser().get("/sign-in")
    assert (answer.status_code, "does not answer" in answer.text, "host7" in answer.text) == (503, True, False)
    client = browser("admin")
    assert client.get("/").status_code == 503


def test_other_problems(browser):
    """Nothing there, the wrong method, a form that is too large: each in words."""
    client = browser("viewer")
    assert "There is nothing here" in client.get("/nothing").text
    assert client.get("/nothing").status_code == 404
    answer = client.post("/audit")
    assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert client.post("/theme", data={"theme": "x" * 5_000_000}).status_code == 413
    assert client.post("/theme", data={"theme": "pink"}).status_code == 400


def test_a_page_that_did_not_change_is_not_sent_again(browser):
    """The script asks with the tag of what it has."""
    client = browser("viewer")
    tag = client.get("/help").headers["ETag"]
    answer = client.get("/help", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.data) == (304, b"")


def test_the_look_is_remembered(browser):
    """In a cookie; a value that is none is the system's."""
    client = browser("viewer")
    client.post("/theme", data={"theme": "dark", "next": "/help"})
    assert 'data-theme="dark"' in client.get("/help").text
    client.set_cookie("esb_theme", '"><script>')
    assert 'data-theme="auto"' in client.get("/help").text


def test_probes_learn_what_they_need_and_no_more(browser, bus, monkeypatch):
    """By any name, signed in or not; without the store the process lives, but is not ready."""
    client = browser()
    assert client.get("/healthz", headers={"Host": "10.0.0.5:8481"}).json == {"status": "alive"}
    assert client.get("/readyz").status_code == 200

    def down():
        raise StoreDown("db at host7")

    monkeypatch.setattr(bus.store, "check", down)
    answer = client.get("/readyz")
    assert (answer.status_code, b"host7" in answer.data) == (503, False)
    assert client.get("/healthz").status_code == 200
