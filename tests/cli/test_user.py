"""`esb user`: who may sign in, from the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Run = Callable[..., Result]
PASSWORD = "four words are enough"


def test_users_come_change_and_go(esb: Run, ran: Path) -> None:
    """Added with a link, given a password and another role, removed; each act says what it did."""
    assert "nobody can sign in yet" in esb("user", "list", "-C", ran).stderr
    added = esb("user", "add", "ada", "-C", ran, "--role", "admin")
    assert re.fullmatch(r"/link/[\w-]{43}\n", added.stdout), added.stderr
    assert "signed out everywhere" in esb("user", "password", "ada", "-C", ran, input=PASSWORD + "\n").stderr
    assert esb("user", "add", "bob", "-C", ran).exit_code == 0
    assert "bob is operator now" in esb("user", "role", "bob", "operator", "-C", ran, "--why", "on duty").stderr
    listed = json.loads(esb("user", "list", "-C", ran, "--json").stdout)
    assert [(u["name"], u["role"], u["password"]) for u in listed] == [
        ("ada", "admin", True),
        ("bob", "operator", False),
    ]
    assert "scrypt" not in esb("user", "list", "-C", ran, "--json").stdout
    assert re.search(r"ada +admin +set", esb("user", "list", "-C", ran).stdout)
    assert esb("user", "remove", "bob", "-C", ran, "--yes").exit_code == 0


def test_what_cannot_be_done_is_said(esb: Run, ran: Path) -> None:
    """Exit code 1 and what to do; nothing is asked where nobody can answer."""
    for arguments, said in (
        (("link", "nobody"), "`esb user list` names them"),
        (("password", "nobody"), "12 to 1024 characters"),
        (("add", "a b"), "no user name"),
        (("remove", "ada"), "add --yes"),
    ):
        result = esb("user", *arguments, "-C", ran, input="short\n")
        assert (result.exit_code, said in result.stderr) == (1, True), result.stderr
    assert esb("user", "link", "-C", ran).exit_code == 2


def test_the_first_link(esb: Run, ran: Path) -> None:
    """While there is nobody; with the address that people use, where the configuration says one."""
    with (ran / "esb.yaml").open("a") as file:
        file.write("admin: {url: https://esb.example.org}\n")
    assert esb("user", "link", "--first", "-C", ran).stdout.startswith("https://esb.example.org/link/")
    assert esb("user", "add", "ada", "-C", ran, "--role", "admin").exit_code == 0
    again = esb("user", "link", "--first", "-C", ran)
    assert (again.exit_code, "somebody can sign in already" in again.stderr) == (1, True)
