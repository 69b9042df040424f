"""Users, as an admin manages them."""

from __future__ import annotations

import re

from esb.store.sessions import FIRST


def test_somebody_is_let_in(browser, bus):
    """A link is shown once; with it they set a password and are in, with the role they were given."""
    page = browser("admin").post("/users", data={"name": "grace", "role": "operator", "reason": "new"}).text
    path = re.search(r"http://localhost(/link/[\w-]+)", page)[1]
    assert path not in browser("admin").get("/users").text
    form = {"password": "four words are enough", "again": "four words are enough"}
    client = browser()
    assert client.post(path, data=form).status_code == 303
    assert "grace <small>operator</small>" in client.get("/").text
    with bus.store.reading() as t:
        acts = [(e.who, e.act, e.reason) for e in t.audit.find(target="user:grace")]
    assert acts == [("grace", "user password", "by a link"), ("admin", "user link", ""), ("admin", "user add", "new")]


def test_every_change_wants_a_reason(browser, bus):
    """Without one nothing is done."""
    client = browser("admin")
    for path in ("/users", "/users/viewer/role", "/users/viewer/link", "/users/viewer/remove"):
        answer = client.post(path, data={"name": "grace", "role": "admin", "reason": " "})
        assert (answer.status_code, "Say why" in answer.text) == (400, True), path
    with bus.store.reading() as t:
        assert [(u.name, u.role) for u in t.users.list()] == [(n, n) for n in ("admin", "operator", "viewer")]


def test_roles_change_and_users_go(browser, bus):
    """At once, for whoever is signed in."""
    admin, viewer = browser("admin"), browser("viewer")
    admin.post("/users/viewer/role", data={"role": "operator", "reason": "on duty"})
    assert "viewer is operator now." in admin.get("/users").text
    assert viewer.get("/audit").status_code == 200
    admin.post("/users/viewer/remove", data={"reason": "left"})
    assert viewer.get("/").status_code == 303


def test_what_cannot_be_done_is_said(browser):
    """A name twice, a name that is none, the last admin, a role that does not exist."""
    client = browser("admin")
    for path, data, said in (
        ("/users", {"name": "viewer", "role": "viewer"}, "already"),
        ("/users", {"name": "<script>", "role": "viewer"}, "is no user name"),
        ("/users/admin/role", {"role": "viewer"}, "only admin"),
        ("/users/admin/remove", {}, "only admin"),
        ("/users/nobody/link", {}, "no user"),
    ):
        client.post(path, data=data | {"reason": "x"})
        page = client.get("/users").text
        assert said in page, path
        assert "<script>" not in page
    assert client.post("/users/viewer/role", data={"role": "king", "reason": "x"}).status_code == 400


def test_nobody_can_take_the_first_link_over_the_page(bus, browser):
    """An empty name is nobody's."""
    browser("admin").post("/users", data={"name": "", "role": "admin", "reason": "x"})
    with bus.store.reading() as t:
        assert t.connection.rows("SELECT * FROM links WHERE user_name = ?", (FIRST,)) == []
