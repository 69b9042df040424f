"""Hot reload for `esb run --dev`: look at the files, and restart the roles when what changed is free of findings."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from esb.cli.common import complain, load, show_findings
from esb.cli.supervisor import Role, Supervisor
from esb.cli.watching import EVERY, Watch, of_a_bus, summary
from esb.errors import ConfigError, EsbError

if TYPE_CHECKING:
    from esb.config import Components, Definition

    MakeRoles = Callable[[Definition, Components], list[Role]]


class Reloader:
    """Call it often: it looks at most every half second."""

    def __init__(self, root: str, env: str | None, supervisor: Supervisor, make_roles: MakeRoles) -> None:
        """Args: the directory, its overlay, whose roles to restart, and what gives the roles of a definition."""
        self._root = Path(root)
        self._env = env
        self._supervisor = supervisor
        self._make_roles = make_roles
        self._watch = Watch(self._root, lambda: of_a_bus(self._root))
        self._next = 0.0

    def __call__(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        if changed := self._watch.changed():
            self._reload(changed)

    def _reload(self, changed: list[str]) -> None:
        names = summary(changed)
        try:
            loaded = load(str(self._root), self._env)
        except EsbError as error:
            if isinstance(error, ConfigError):
                show_findings(error)
            else:
                complain(str(error))
            click.secho(f"{names} changed, but has findings: the bus goes on as it was", fg="yellow", err=True)
            return
        click.secho(f"{names} changed: reloading", fg="green", err=True)
        self._supervisor.restart(self._make_roles(*loaded))


def nothing() -> None:
    """What is done between looks when nobody asked for reloading."""


def watcher(dev: bool, root: str, env: str | None, supervisor: Supervisor, make_roles: MakeRoles) -> Callable[[], None]:
    """What the supervisor shall call between its looks."""
    return Reloader(root, env, supervisor, make_roles) if dev else nothing
