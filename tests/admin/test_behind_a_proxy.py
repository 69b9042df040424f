"""With ``admin.url``: its name is answered, its links are printed, https makes cookies strict about it."""

from __future__ import annotations

import pytest

from esb.admin.access import TOKEN
from tests.admin.conftest import SESSION


@pytest.fixture
def place(place):
    """Behind https://esb.example.org."""
    with (place / "esb.yaml").open("a") as file:
        file.write("admin: {url: https://esb.example.org, hosts: [esb.internal]}\n")
    return place


def test_cookies_go_over_https_only(browser, bus):
    """And the browser holds them to this host."""
    client = browser()
    answer = client.get("/sign-in", headers={"Host": "esb.example.org"})
    [cookie] = answer.headers.getlist("Set-Cookie")
    assert cookie.startswith("__Host-esb_visit=")
    assert "; Secure; HttpOnly; Path=/; SameSite=Strict" in cookie
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


def test_its_names_are_answered(browser):
    """Those in front of the proxy, and those that are listed; nothing else."""
    for name, status in (("esb.example.org", 200), ("esb.internal:8481", 200), ("other.example.org", 421)):
        assert browser().get("/sign-in", headers={"Host": name}).status_code == status


def test_links_lead_to_it(bus):
    """The one of the first start too."""
    with bus.store.transaction() as t:
        t.connection.run("DELETE FROM users")
    assert bus.first_link({"admin": "http://127.0.0.1:1"})["first"].startswith("https://esb.example.org/link/")
    assert bus.first_link({}) == {}


def test_every_cookie_goes_over_https_only(app, bus):
    """The small ones of look and notice too."""
    client = app.test_client()
    client.set_cookie("__Host-esb_session", SESSION.format("viewer"), domain="esb.example.org")
    host = {"base_url": "https://esb.example.org"}
    token = client.get("/account", **host).text.partition(f'name="{TOKEN}" value="')[2].partition('"')[0]
    for path, data in (("/theme", {"theme": "dark"}), ("/account/sessions", {})):
        answer = client.post(path, data=data | {TOKEN: token}, **host)
        assert answer.status_code == 303
        cookies = answer.headers.getlist("Set-Cookie")
        assert cookies and all("; Secure; HttpOnly; Path=/; SameSite=Strict" in cookie for cookie in cookies)
