"""Each page answers whom it should, with what protects it; new routes are found by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from esb.admin.access import needed
from esb.admin.headers import POLICY
from esb.store import ROLES

STRANGERS = {"signin.index", "signin.enter", "signin.link", "signin.use", "static", "health.alive", "health.ready"}
FOR_EVERYBODY = {"signin.leave", "account.password", "account.sessions", "account.theme"}  # one's own things
FOR_EVERYBODY |= {"flows.cases", "mappings.cases", "mappings.attempt", "contracts.validate"}  # change nothing


def routes(app: Any, method: str) -> Iterator[tuple[str, str]]:
    """(endpoint, path) of each route that takes a method; what stands for something gets a word."""
    for rule in app.url_map.iter_rules():
        if method in rule.methods:
            values = dict.fromkeys(rule.arguments, "esb.css" if rule.endpoint == "static" else "x")
            with app.test_request_context():
                yield rule.endpoint, app.url_for(rule.endpoint, **values)


@pytest.mark.parametrize("role", ["", *ROLES])
def test_each_page_is_open_to_its_roles_only(app, browser, role):
    """A stranger is sent to sign in, a role that is too low is refused, nobody meets a failure."""
    client = browser(role)
    for endpoint, path in routes(app, "GET"):
        needs = needed(app.view_functions[endpoint])
        answer = client.get(path)
        if needs is None:
            assert endpoint in STRANGERS, f"{endpoint} is open to strangers"
            assert answer.status_code in (200, 303, 404), path
        elif not role:
            assert (answer.status_code, answer.headers["Location"].startswith("/sign-in?next=")) == (303, True), path
        elif ROLES.index(role) < ROLES.index(needs):
            assert answer.status_code == 403, path
        else:
            assert answer.status_code in (200, 302, 303, 404), f"{path}: {answer.status_code}\n{answer.text[:2000]}"


@pytest.mark.parametrize("role", ["", *ROLES])
def test_each_act_is_open_to_its_roles_only(app, browser, role):
    """Nobody below operator changes anything but what is theirs; the token does not help."""
    client = browser(role)
    for endpoint, path in routes(app, "POST"):
        needs = needed(app.view_functions[endpoint])
        if endpoint in STRANGERS | {"signin.leave"}:
            continue
        assert needs in (("operator", "admin") if endpoint not in FOR_EVERYBODY else ("viewer",)), endpoint
        answer = client.post(path)
        if not role:
            assert answer.status_code == 401, path
        elif ROLES.index(role) < ROLES.index(needs):
            assert answer.status_code == 403, path
        else:
            assert answer.status_code not in (401, 403, 500), f"{path}: {answer.status_code}"


@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_a_form_without_its_token_is_refused(app, browser, token):
    """On each route that changes something; also where one signs in."""
    client = browser("admin")
    for endpoint, path in routes(app, "POST"):
        answer = client.post_raw(path, data={} if token is None else {"token": token})
        assert (answer.status_code, "out of date" in answer.text) == (400, True), endpoint


def test_a_form_of_another_site_is_refused(app, browser):
    """Whatever token it has: the browser says where it comes from."""
    client = browser("admin")
    for endpoint, path in routes(app, "POST"):
        assert client.post(path, headers={"Origin": "http://evil.example"}).status_code == 403, endpoint
        assert client.post(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403, endpoint


def test_each_answer_is_protected(app, browser):
    """Nothing from elsewhere runs in it, nothing frames it, nothing keeps it; error pages among them."""
    client = browser("viewer")
    for path in [path for _, path in routes(app, "GET")] + ["/nothing", "/users"]:
        headers = client.get(path).headers
        assert headers["Content-Security-Policy"] == POLICY, path
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store" or path.startswith("/static/"), path


def test_no_page_has_what_the_policy_forbids(app, browser):
    """Inline scripts, inline styles and event attributes would be dead, or a hole."""
    client = browser("admin")
    for _, path in routes(app, "GET"):
        page = client.get(path, follow_redirects=True).text
        assert " style=" not in page and "<style" not in page, path
        assert "<script>" not in page and " onclick=" not in page and "javascript:" not in page, path
