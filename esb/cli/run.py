"""`esb run`: the supervisor and its roles, or one role by itself."""

from __future__ import annotations

import errno
import signal
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import click

from esb.cli.common import complain, counted, directory, load, told
from esb.wake import Stop

if TYPE_CHECKING:
    from esb.cli.supervisor import Role, Supervisor
    from esb.config import Components, Definition
    from esb.config.models import Admin, Http

    Work = Callable[[Definition, Components], None]

ADMIN_AT = "admin interface: "
FIRST_AT = "nobody can sign in yet; this link makes the first admin, once, within an hour: "


@click.command("run")
@directory
@click.argument("path", required=False, type=click.Path(file_okay=False))
@click.option("--role", type=click.Choice(["bus", "web", "jobs"]), help="Run one role only, in this process.")
@click.option("--processes", type=click.IntRange(1, 64), help="How many for the role bus, instead of worker.processes.")
@click.option("--dev", is_flag=True, help="Reload when a file changes; keep the last good state while it has findings.")
@click.option(
    "--log-level", "level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True,
    envvar="ESB_LOG_LEVEL", help="What is logged on standard error (also ESB_LOG_LEVEL).",
)  # fmt: skip
@told
def command(
    root: str, env: str | None, path: str | None, role: str | None, processes: int | None, dev: bool,
    level: str,
) -> None:  # fmt: skip
    """Run the bus of a directory until Ctrl-C or SIGTERM; what is under way is finished first.

    A second Ctrl-C does not wait for it; nothing is lost by that, it is done again after the next start.
    """
    from esb.cli import logs

    if role and processes:
        raise click.UsageError("--role runs one process: start more of them instead of --processes")
    root = path or root
    logs.configure(role or "supervisor", level)
    if role:
        definition, components = load(root, env)
        logs.configure(role, level, definition.secrets)
        RUN[role](definition, components)
    else:
        supervise(root, env, dev, level, processes)


def supervise(root: str, env: str | None, dev: bool, level: str, processes: int | None = None) -> None:
    """Check first, so that what is wrong is seen at once; then start the roles and look after them."""
    from esb.cli.reload import watcher
    from esb.cli.supervisor import Supervisor, alone

    definition, components = load(root, env)
    _require_data(definition)
    import_module("esb.bus")  # before the roles are forked, which share what is loaded
    with alone(definition.data_directory):
        _require_tables(definition)
        _require_ports(_ports(definition, components))
        worker = definition.config.worker
        make_roles = partial(_roles, level=level, processes=processes)
        supervisor = Supervisor(make_roles(definition, components), worker.drain, worker.memory)
        supervisor.run(
            partial(_announce, supervisor, definition.config.bus), watcher(dev, root, env, supervisor, make_roles)
        )


def _roles(
    definition: Definition, components: Components, level: str, processes: int | None = None
) -> list[Role]:  # fmt: skip
    """The bus role, as many times as is configured, the jobs role, and the web role for the admin interface and
    endpoints that are called from outside."""
    from esb.cli.supervisor import Role

    count = processes or definition.config.worker.processes
    works: dict[str, Callable[..., None]] = {
        "bus" if count == 1 else f"bus {n + 1}": partial(run_bus, share=(n, count)) for n in range(count)
    }
    if _ports(definition, components):
        works["web"] = run_web
    works["jobs"] = run_jobs
    return [Role(name, partial(_run_role, name, work, definition, components, level)) for name, work in works.items()]


@told
def _run_role(name: str, work: Work, definition: Definition, components: Components, level: str) -> None:
    """A role in a process of its own, with what the supervisor has loaded."""
    from esb.cli import logs

    logs.configure(name, level, definition.secrets)
    work(definition, components)


def _ports(definition: Definition, components: Components) -> dict[str, Http | Admin]:
    """Where the web role listens, by the setting that says so."""
    receiving = (e for e in definition.endpoints.values() if e.receive)
    config, ports = definition.config, dict[str, "Http | Admin"]()
    if any(components.adapters[e.adapter].features.serves for e in receiving):
        ports["http"] = config.http
    if config.admin.enabled:
        ports["admin"] = config.admin
    return ports


def _require_data(definition: Definition) -> None:
    """Files of what is embedded can be made here; each role would find that out by itself, again and again."""
    from esb.errors import EsbError

    data = definition.data_directory
    if "embedded" not in (definition.config.broker, definition.config.database):
        return
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data):
            pass
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return  # it may have room again; the roles wait for that
        raise EsbError(
            f"{data} cannot be written to ({error.strerror}): run it as the user whose bus it is, or name another "
            "directory as `data:` in esb.yaml"
        ) from error


def _require_tables(definition: Definition) -> None:
    """Refuse a database without current tables. One that is down may come up: the roles try again."""
    from esb.errors import StoreDown
    from esb.store import open_store

    if definition.config.database == "embedded":
        return
    store = open_store(definition.config.database, definition.data_directory)
    try:
        store.require_current()
    except StoreDown as error:
        complain(f"{error}; trying again")
    finally:
        store.close()


def _require_ports(ports: Mapping[str, Http | Admin]) -> None:
    """Refuse at once where another program listens already; both are held together, so that they differ."""
    from esb.gateway.listen import bind

    with ExitStack() as stack:
        for setting, listen in ports.items():
            stack.enter_context(bind(listen.host, listen.port, setting))


def _announce(supervisor: Supervisor, name: str) -> None:
    """What the roles reported themselves: after a reload that may be more than there was at the start."""
    said = {key: value for role in supervisor.roles for key, value in role.said.items()}
    parts = f"{counted(said['flows'], 'flow')}, {counted(said['endpoints'], 'endpoint')}"
    processes = sum("flows" in role.said for role in supervisor.roles)
    if processes > 1:
        parts += f", {processes} bus processes"
    where = f"; {said['http']}" if "http" in said else ""
    with suppress(OSError):  # a full disk under the log: the bus runs all the same
        click.secho(f"bus {name!r} is running: {parts}{where}; Ctrl-C stops it", fg="green", err=True)
        _announce_web(said)


def _announce_web(said: Mapping[str, str]) -> None:
    """Where the admin interface is, and while nobody can sign in the link that makes the first admin."""
    if "admin" in said:
        click.echo(f"{ADMIN_AT}{said['admin']}", err=True)
    if "first" in said:
        click.echo(f"{FIRST_AT}{said['first']}", err=True)


def run_bus(definition: Definition, components: Components, share: tuple[int, int] = (0, 1)) -> None:
    """The bus role: pollers, flows, endpoints, sweeper. ``share``: which process of how many."""
    from esb import bus as composition
    from esb.cli.supervisor import report_ready
    from esb.worker.points import point_from_environment
    from esb.worker.share import Share

    bus = composition.Bus(definition, components, point=point_from_environment(), share=Share(*share))
    try:
        sizes = {"flows": len(definition.flows), "endpoints": len(definition.endpoints)}
        composition.run(bus, told_to_stop(), partial(report_ready, **sizes))
    finally:
        bus.close()


def run_jobs(definition: Definition, components: Components) -> None:
    """The jobs role: what is scheduled or slow."""
    from esb import bus as composition
    from esb.cli.supervisor import report_ready
    from esb.worker.points import point_from_environment

    composition.run_jobs(definition, components, told_to_stop(), report_ready, point_from_environment())


def run_web(definition: Definition, components: Components) -> None:
    """The web role: the ingress and the admin interface."""
    from esb import bus as composition
    from esb.cli.supervisor import report_ready, supervised

    bus = composition.Bus(definition, components)

    def ready(urls: dict[str, str]) -> None:
        said = urls | bus.first_link(urls)
        if not supervised():
            _announce_web(said)
        report_ready(**said)

    try:
        composition.run_web(bus, told_to_stop(), ready)
    finally:
        bus.close()


def told_to_stop() -> Stop:
    """By SIGTERM or Ctrl-C."""
    return Stop(signal.SIGTERM, signal.SIGINT)


RUN: dict[str, Work] = {"bus": run_bus, "web": run_web, "jobs": run_jobs}
