"""Signing in, and what keeps others from it."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from esb.admin import signin
from esb.admin.limiter import Limiter
from esb.store.credentials import hash_password, token_hash, verify_password
from esb.store.links import LIFE, make_first_link, make_link
from tests.admin.conftest import SESSION

PASSWORD = "four words are enough"


@pytest.fixture
def with_password(bus):
    """The operator has a password."""
    with bus.store.transaction() as t:
        t.users.set_password("operator", hash_password(PASSWORD), "tests")


def sign_in(client, name="operator", password=PASSWORD, **more):
    return client.post("/sign-in", data={"name": name, "password": password, **more})


def cookies(answer) -> dict[str, str]:
    """Name -> the whole header of each cookie that is set."""
    return {line.partition("=")[0]: line for line in answer.headers.getlist("Set-Cookie")}


def test_name_and_password_open_the_page_that_was_asked_for(browser, with_password):
    """The way back is kept; the cookie is out of reach of scripts and other sites."""
    client = browser()
    assert client.get("/audit?who=x").headers["Location"] == "/sign-in?next=/audit%3Fwho%3Dx"
    answer = sign_in(client, next="/audit?who=x")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/audit?who=x")
    assert re.search("HttpOnly", cookies(answer)["esb_session"])
    assert "SameSite=Strict" in cookies(answer)["esb_session"]
    assert client.get("/audit").status_code == 200


@pytest.mark.parametrize(
    "address", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb"]
)
def test_nobody_is_sent_to_another_site(browser, with_password, address):
    """A link that looks like ours must not lead elsewhere after signing in."""
    assert sign_in(browser(), next=address).headers["Location"] == "/"


def test_a_wrong_password_says_nothing_more(browser, with_password):
    """Whether the name exists is not told; the name is kept for the next try."""
    client = browser()
    texts = [sign_in(client, name, "wrong").text for name in ("operator", "nobody")]
    assert all("Name and password do not go together." in text for text in texts)
    assert 'value="nobody"' in texts[1]


def test_guessing_is_slowed_down(browser, with_password):
    """After five wrong ones the right one is not listened to either; other names are."""
    client = browser()
    assert [sign_in(client, password="wrong").status_code for _ in range(5)] == [403] * 5
    answer = sign_in(client)
    assert (answer.status_code, 0 < int(answer.headers["Retry-After"]) <= 60) == (429, True)
    assert sign_in(client, "somebody", "wrong").status_code == 403


def test_tries_count_for_their_window_only():
    """And what is counted fills no memory."""
    now = [0.0]
    limiter = Limiter(lambda: now[0], 2, 60.0)
    for _ in range(2):
        limiter.failed("a")
    assert (limiter.wait("a"), limiter.wait("b")) == (60.0, 0.0)
    now[0] = 60.0
    assert limiter.wait("a") == 0.0
    for number in range(10_100):
        limiter.failed(str(number))
    assert len(limiter._failures) == 10_000


def test_signing_in_makes_a_new_session(browser, bus, with_password):
    """A cookie that somebody planted, or an older session, is not the one that is signed in."""
    client = browser("viewer")
    sign_in(client)
    with bus.store.reading() as t:
        assert t.sessions.get(token_hash(SESSION.format("viewer")), 0.0, 1e12) is None
    assert "operator <small>operator</small>" in client.get("/").text


def test_a_session_ends(browser, bus, monkeypatch):
    """By signing out, on the server; the cookie is worth nothing then, wherever it is kept."""
    client, thief = browser("viewer"), browser("viewer")
    assert client.post("/sign-out").headers["Location"] == "/sign-in"
    assert thief.get("/").status_code == 303


def test_a_live_page_is_told_that_it_is_signed_out(browser):
    """The script that asks by itself gets no sign-in page to show; and its asking keeps no session alive."""
    client = browser()
    assert client.get("/", headers={"X-Esb-Live": "1"}).status_code == 401


def test_only_people_keep_a_session_alive(browser, bus, monkeypatch):
    """A page that looks by itself all night does not; a click does."""
    now = bus.context.clock()

    def seen():
        with bus.store.reading() as t:
            return t.sessions.of("viewer", now)[0].seen_at

    with bus.store.transaction() as t:
        t.connection.run("UPDATE sessions SET seen_at = ?", (now - 1000,))
    client = browser("viewer")
    client.get("/", headers={"X-Esb-Live": "1"})
    assert seen() == now - 1000
    client.get("/")
    assert seen() > now - 1


def test_the_first_link_makes_the_first_admin(bus, app, browser):
    """Once, and only while there is nobody."""
    with bus.store.transaction() as t:
        t.connection.run("DELETE FROM sessions")
        t.connection.run("DELETE FROM users")
        first, second = (make_first_link(t, bus.context.clock()) for _ in "ab")
    client = browser()
    assert "Nobody can sign in yet" in client.get("/sign-in").text
    assert "Make the first admin" in client.get(f"/link/{first}").text
    form = {"name": "ada", "password": PASSWORD, "again": PASSWORD}
    assert client.post(f"/link/{first}", data=form | {"again": "x"}).status_code == 422
    assert client.post(f"/link/{first}", data=form | {"name": "<i>"}).status_code == 422
    assert client.post(f"/link/{first}", data=form | {"password": "short", "again": "short"}).status_code == 422
    assert client.post(f"/link/{first}", data=form).headers["Location"] == "/"
    assert client.get("/users").status_code == 200
    for used in (first, second):
        assert browser().get(f"/link/{used}").status_code == 404
        assert browser().post(f"/link/{used}", data=form | {"name": "eve"}).status_code == 404


def test_the_first_link_ends_with_the_first_user(bus, browser):
    """Also when that one was made on the command line meanwhile."""
    with bus.store.transaction() as t:
        t.connection.run("DELETE FROM users")
        first = make_first_link(t, bus.context.clock())
        t.users.add("ada", "admin", "root")
    form = {"name": "eve", "password": PASSWORD, "again": PASSWORD}
    assert browser().get(f"/link/{first}").status_code == 404
    assert browser().post(f"/link/{first}", data=form).status_code == 404


def test_a_link_sets_a_password_and_ends_old_sessions(bus, browser, monkeypatch):
    """Whoever has the link is in, whoever was in is out."""
    with bus.store.transaction() as t:
        token = make_link(t, "operator", bus.context.clock(), "tests")
    old, new = browser("operator"), browser()
    assert "operator" in new.get(f"/link/{token}").text
    answer = new.post(f"/link/{token}", data={"password": PASSWORD, "again": PASSWORD})
    assert answer.status_code == 303
    assert (new.get("/").status_code, old.get("/").status_code) == (200, 303)
    assert "Your password is set" not in old.get("/sign-in").text
    with bus.store.transaction() as t:
        late = make_link(t, "operator", bus.context.clock() - LIFE - 1, "tests")
    assert new.get(f"/link/{late}").status_code == 404


def test_a_link_that_there_is_not_costs_no_hash(browser, monkeypatch):
    """Anybody may send it, as often as they like; a hash takes 32 MB and a tenth of a second."""
    hashed: list[str] = []
    monkeypatch.setattr(signin, "hash_password", hashed.append)
    form = {"password": PASSWORD, "again": PASSWORD}
    assert [browser().post("/link/nobodys", data=form).status_code for _ in range(3)] == [404] * 3
    assert hashed == []


def test_passwords_set_by_links_are_hashed_a_few_at_once(browser, bus, monkeypatch):
    """One more than may never meets the others."""
    meeting, met = threading.Barrier(signin.AT_ONCE + 1), []

    def slow(password: str) -> str:
        with suppress(threading.BrokenBarrierError):
            met.append(meeting.wait(1))
        return hash_password(password)

    monkeypatch.setattr(signin, "hash_password", slow)
    with bus.store.transaction() as t:
        tokens = [make_link(t, user, bus.context.clock(), "tests") for user in ("viewer", "operator", "admin")]
    form, clients = {"password": PASSWORD, "again": PASSWORD}, [browser() for _ in tokens]
    with ThreadPoolExecutor(len(tokens)) as pool:
        answers = list(pool.map(lambda c, token: c.post(f"/link/{token}", data=form).status_code, clients, tokens))
    assert (answers, met) == ([303] * 3, [])


def test_what_is_stored_opens_nothing(bus, with_password):
    """Neither the password nor a token stands in the database; a hash is no password."""
    with bus.store.reading() as t:
        user = t.users.get("operator")
        stored = str(t.connection.rows("SELECT * FROM users, sessions"))
    assert PASSWORD not in stored and SESSION.format("viewer") not in stored
    assert [verify_password(word, user.password) for word in (PASSWORD, user.password, "")] == [True, False, False]
    assert not verify_password(PASSWORD, "")


def test_another_host_name_is_refused(browser, app):
    """A page of another site whose name points here reads nothing (DNS rebinding)."""
    client = browser()
    for name in ("evil.example", "evil.example:8481", "", "localhost.evil.example", "[::2]:80"):
        answer = client.get("/", headers={"Host": name})
        assert (answer.status_code, "admin.hosts" in answer.text) == (421, True), name
    for name in ("localhost:8481", "127.0.0.1", "[::1]:8481", "LOCALHOST"):
        assert client.get("/sign-in", headers={"Host": name}).status_code == 200, name


def test_a_link_from_another_site_works_for_who_is_signed_in(browser):
    """The browser keeps the strict cookie back then; asked again from here it sends it."""
    page = browser().get("/sign-in?next=/audit", headers={"Sec-Fetch-Site": "cross-site"}).text
    assert 'http-equiv="refresh" content="0; url=/audit"' in page


def test_the_password_is_changed_by_who_knows_it(browser, bus, with_password):
    """Not by a browser left open; the other sessions end."""
    client = browser()
    sign_in(client)
    new = "other words, just as many"
    form = {"old": PASSWORD, "password": new, "again": new}
    for wrong in ({"old": "x"}, {"again": "x"}, {"password": "short", "again": "short"}):
        client.post("/account/password", data=form | wrong)
        assert 'class="notice bad"' in client.get("/account").text
    client.post("/account/password", data=form)
    assert "Your password is changed" in client.get("/account").text
    assert sign_in(browser(), password=new).status_code == 303
    assert sign_in(browser()).status_code == 403


def test_signing_out_everywhere_else(browser, with_password):
    """The other browser is out, this one stays; what came of it is said once."""
    client, other = browser(), browser()
    sign_in(client)
    sign_in(other)
    client.post("/account/sessions")
    assert "Signed out in 1 other place." in client.get("/account").text
    assert "Signed out in" not in client.get("/account").text
    assert other.get("/").status_code == 303
