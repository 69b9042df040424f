"""A command group that lists when no subcommand is named: ``esb endpoints`` is ``esb endpoints list``."""

from __future__ import annotations

import click


class Listing(click.Group):
    """Whatever does not begin with one of its commands goes to ``list``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the word in that was left out."""
        asks = args and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if asks else ["list", *args])
