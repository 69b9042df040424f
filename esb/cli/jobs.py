"""`esb jobs`: what runs by itself, when it did and will; run one now."""

from __future__ import annotations

import getpass
import time

import click

from esb.cli.common import (
    directory,
    json_output,
    load,
    moment,
    opened_store,
    print_json,
    print_table,
    told,
    unknown,
)


@click.group("jobs")
def command() -> None:
    """List what runs by itself; run one now."""


@command.command("list")
@directory
@json_output
@told
def list_(root: str, env: str | None, as_json: bool) -> None:
    """List every job with its last and its next run."""
    from esb.worker.schedules import listed

    definition, _ = load(root, env)
    with opened_store(root, env) as store, store.reading() as t:
        rows, leader = t.schedules.all(), t.leases.holder("beat")
    found = listed(definition, rows, time.time())
    if as_json:
        return print_json(found)
    print_table(
        ("job", "when", "last", "next", "state", "note"),
        [(job.name, job.when, moment(job.last), moment(job.next), job.state, job.note) for job in found],
        shrink=(("note", 12), ("last", 8), ("next", 8)),
    )
    if leader is None:
        click.echo("nobody runs them now: `esb run` does, or `esb run --role jobs`", err=True)
    return None


@command.command("run")
@directory
@click.argument("name")
@click.option("--why", default="", help="The reason, for the audit.")
@told
def run(root: str, env: str | None, name: str, why: str) -> None:
    """Let a job run now, whenever it is due; NAME may be that of a flow."""
    from esb.worker.schedules import job_of, jobs, wish

    definition, _ = load(root, env)
    known = jobs(definition)
    chosen = name if name in known else job_of(name)
    if chosen not in known:
        unknown("job", name, known)
    with opened_store(root, env) as store, store.transaction() as t:
        wish(t, chosen, time.time(), getpass.getuser(), why)
    click.echo(f"{chosen} is asked for; a running bus sees to it within seconds", err=True)
