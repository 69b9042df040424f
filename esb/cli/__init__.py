"""The command line. Data goes to stdout, talk to stderr.

Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 not found.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from esb import __version__

# Commands are imported when they are used, so that `esb --help` stays quick.
COMMANDS = {
    "init": ("init", "Make a new bus directory that runs at once."),
    "check": ("check", "Check the configuration; print every finding."),
    "test": ("cases", "Run the *.test.yaml files, without a broker."),
    "run": ("run", "Run the bus until it is told to stop."),
    "demo": ("demo", "Run the retail example and print its ledger."),
    "send": ("send", "Send a file or a document into the bus."),
    "messages": ("messages", "List messages, newest first."),
    "trace": ("trace", "Show the journey of one message, step by step."),
    "explain": ("explain", "Say why a message went where it went."),
    "failed": ("failed", "List, show, retry or discard parked messages."),
    "replay": ("replay", "Send parked messages on again in steps; follow that."),
    "ledger": ("ledger", "Count what became of all messages."),
    "endpoints": ("endpoints", "List endpoints with their state; test a connection."),
    "flows": ("flows", "List flows with their figures; pause one, switch its detours, set its rates."),
    "tables": ("tables", "Routing tables: show them, and change where messages go."),
    "jobs": ("jobs", "List what runs by itself; run one now."),
    "contracts": ("contracts", "List contracts, show one, or check a document against one."),
    "mappings": ("mappings", "List mappings, and who uses them."),
    "map": ("map", "Print what a mapping makes of a document, and why."),
    "landscape": ("landscape", "Show what leads where: the whole bus, or one flow."),
    "sagas": ("sagas", "List sagas; retry, skip, compensate or end one."),
    "groups": ("groups", "List what waits for other messages; let it go."),
    "user": ("user", "Say who may sign in to the admin interface."),
    "schema": ("schema", "Export the JSON Schemas of the configuration files."),
    "conformance": ("conformance", "Run the official test suites of JSONata and JSON Schema."),
    "doctor": ("doctor", "Check this machine, the broker and the database."),
    "db": ("db", "Create, upgrade or inspect the database."),
}


class Commands(click.Group):
    """Finds a command's module by name, when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"esb.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table above, so that help needs none of the modules."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """An unknown command names its nearest neighbour."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", error.ctx) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="esb")
def main() -> None:
    """A lightweight enterprise service bus: legacy systems joined by YAML over RabbitMQ."""
