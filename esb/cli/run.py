"""`esb run`: the supervisor and its roles, or one role by itself."""

from __future__ import annotations

import signal
from collections.abc import Callable

import click

from esb.cli.common import directory, load, told


@click.command("run")
@directory
@click.argument("path", required=False, type=click.Path(file_okay=False))
@click.option("--role", type=click.Choice(["bus", "web"]), help="Run one role only, in this process.")
@click.option("--dev", is_flag=True, help="Reload when a file changes; keep the last good state while it has findings.")
@click.option("-v", "--verbose", is_flag=True, help="Log details.")
@told
def command(root: str, env: str | None, path: str | None, role: str | None, dev: bool, verbose: bool) -> None:
    """Run the bus of a directory until Ctrl-C or SIGTERM; what is under way is finished first."""
    from esb.cli import logs

    root = path or root
    logs.configure(role or "supervisor", verbose)
    if role:
        {"bus": run_bus, "web": run_web}[role](root, env)
    else:
        supervise(root, env, dev, verbose)


def supervise(root: str, env: str | None, dev: bool, verbose: bool) -> None:
    """Check first, so that a finding is seen at once; then start the roles and look after them."""
    from esb.cli.reload import watcher
    from esb.cli.supervisor import Role, Supervisor, command_of

    definition, components = load(root, env)
    arguments = ["-C", root, *(["--env", env] if env else []), *(["-v"] if verbose else [])]
    serving = [
        e.name for e in definition.endpoints.values() if e.receive and components.adapters[e.adapter].features.serves
    ]
    names = ["bus", *(["web"] if serving else [])]
    roles = [Role(name, command_of("run", "--role", name, *arguments)) for name in names]
    supervisor = Supervisor(roles, definition.config.worker.drain, definition.config.worker.memory)

    def announce() -> None:
        where = "".join(f"; {role.said['url']}" for role in roles if "url" in role.said)
        parts = f"{len(definition.flows)} flows, {len(definition.endpoints)} endpoints"
        click.secho(f"bus {definition.config.bus!r} is running: {parts}{where}; Ctrl-C stops it", fg="green", err=True)

    supervisor.run(announce, watcher(dev, root, env, supervisor))


def run_bus(root: str, env: str | None) -> None:
    """The bus role: pollers, flows, endpoints, sweeper."""
    from esb import bus as composition
    from esb.cli.supervisor import report_ready
    from esb.worker.points import point_from_environment

    definition, components = load(root, env)
    bus = composition.Bus(definition, components, point=point_from_environment())
    try:
        composition.run(bus, told_to_stop(), report_ready)
    finally:
        bus.close()


def run_web(root: str, env: str | None) -> None:
    """The web role: the ingress."""
    from esb.bus import Bus
    from esb.cli.supervisor import report_ready
    from esb.gateway.serve import serve

    definition, components = load(root, env)
    bus = Bus(definition, components)
    ingress = bus.ingress()
    try:
        bus.prepare()
        ingress.start()
        serve(bus.web(ingress), definition.config.http, lambda url: report_ready(url=url))
    finally:
        ingress.stop()
        bus.close()


def told_to_stop() -> Callable[[], bool]:
    """Has SIGTERM or SIGINT come?"""
    came: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda n, _: came.append(n))
    return lambda: bool(came)
