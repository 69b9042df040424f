"""`esb user`: who may sign in to the admin interface."""

from __future__ import annotations

import getpass
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from esb.cli.common import (
    FAILED,
    complain,
    counted,
    directory,
    json_output,
    moment,
    opened_store,
    print_json,
    print_table,
    told,
)

if TYPE_CHECKING:
    from esb.store import Role

role_argument = click.argument("role", type=click.Choice(["viewer", "operator", "admin"]))
why_option = click.option("--why", default="", help="The reason, for the audit.")


@click.group("user")
def command() -> None:
    """Say who may sign in to the admin interface, and what they may do there."""


@command.command("list")
@directory
@json_output
@told
def list_(root: str, env: str | None, as_json: bool) -> None:
    """List users with their roles."""
    with opened_store(root, env) as store, store.reading() as t:
        users = t.users.list()
    if as_json:
        names = ("name", "role", "created_at", "signed_in_at")
        print_json([{name: getattr(u, name) for name in names} | {"password": bool(u.password)} for u in users])
        return
    print_table(
        ("user", "role", "password", "since", "signed in"),
        [(u.name, u.role, "set" if u.password else "", moment(u.created_at), moment(u.signed_in_at)) for u in users],
    )
    click.echo(counted(len(users), "user") if users else "nobody can sign in yet: esb user add NAME", err=True)


@command.command("add")
@directory
@click.argument("name")
@click.option(
    "--role", default="viewer", show_default=True, type=click.Choice(["viewer", "operator", "admin"]),
    help="viewer reads, operator acts on messages, admin lets people in.",
)  # fmt: skip
@why_option
@told
def add(root: str, env: str | None, name: str, role: Role, why: str) -> None:
    """Let somebody in; print a link, good once and for a day, where they set their password."""
    from esb.store.links import make_link

    with opened_store(root, env) as store, store.transaction() as t:
        t.users.add(name, role, getpass.getuser(), why=why)
        token = make_link(t, name, time.time(), getpass.getuser(), why)
    _show_link(root, env, token)


@command.command("link")
@directory
@click.argument("name", required=False)
@click.option("--first", is_flag=True, help="The link that makes the first admin, while there is no user.")
@why_option
@told
def link(root: str, env: str | None, name: str | None, first: bool, why: str) -> None:
    """Print a link, good once and for a day, where a user sets another password."""
    from esb.errors import EsbError
    from esb.store.links import make_first_link, make_link

    if bool(name) == first:
        raise click.UsageError("say whose: a NAME, or --first")
    with opened_store(root, env) as store, store.transaction() as t:
        token = make_link(t, name, time.time(), getpass.getuser(), why) if name else make_first_link(t, time.time())
        if not token:
            raise EsbError("somebody can sign in already: `esb user link NAME` makes a link for one of them")
    _show_link(root, env, token)


@command.command("role")
@directory
@click.argument("name")
@role_argument
@why_option
@told
def role(root: str, env: str | None, name: str, role: Role, why: str) -> None:
    """Give a user another role; it holds from their next click."""
    with opened_store(root, env) as store, store.transaction() as t:
        t.users.set_role(name, role, getpass.getuser(), why)
    click.echo(f"{name} is {role} now", err=True)


@command.command("password")
@directory
@click.argument("name")
@why_option
@told
def password(root: str, env: str | None, name: str, why: str) -> None:
    """Set a user's password: asked for on a terminal, else the first line of standard input."""
    from esb.store.credentials import hash_password

    hashed = hash_password(_ask())
    with opened_store(root, env) as store, store.transaction() as t:
        t.users.set_password(name, hashed, getpass.getuser(), why)
    click.echo(f"{name} has another password, and is signed out everywhere", err=True)


@command.command("remove")
@directory
@click.argument("name")
@why_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@told
def remove(root: str, env: str | None, name: str, why: str, yes: bool) -> None:
    """Remove a user; what they did stays in the audit."""
    if not yes:
        _confirm(f"Remove {name}?")
    with opened_store(root, env) as store, store.transaction() as t:
        t.users.remove(name, getpass.getuser(), why)
    click.echo(f"{name} is removed, and signed out everywhere", err=True)


def _ask() -> str:
    if sys.stdin.isatty():
        answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return answer
    return sys.stdin.readline().rstrip("\n")


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        complain(f"{question} Nobody can be asked here: add --yes.")
        sys.exit(FAILED)
    click.confirm(question, abort=True, err=True)


def _show_link(root: str, env: str | None, token: str) -> None:
    """On stdout, since it is what was asked for. Where the port is any that is free, only the path is known."""
    from esb.store.links import link_path

    origin = _origin(root, env)
    click.echo(origin + link_path(token))
    if not origin:
        click.echo("below the address that `esb run` says: admin.port is 0", err=True)


def _origin(root: str, env: str | None) -> str:
    from esb.cli.common import bus_directory
    from esb.config import load_bus_config

    _, config = load_bus_config(bus_directory(root), env)
    admin: Any = config.admin
    if admin.url or not admin.port:
        return str(admin.url)
    local = "127.0.0.1" if admin.host in ("0.0.0.0", "::") else admin.host  # noqa: S104 - compared, not bound
    return f"http://{f'[{local}]' if ':' in local else local}:{admin.port}"
