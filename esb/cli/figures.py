"""Live figures for the listings: queue depths, breakers, the ledger; as much of it as can be had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from esb.errors import EsbError

if TYPE_CHECKING:
    from esb.broker.port import Broker, Depth
    from esb.config import Definition
    from esb.store import BreakerRow, Ledger


def figures(
    definition: Definition, broker: Broker, queues: Sequence[str]
) -> tuple[dict[str, Depth], dict[str, BreakerRow], Ledger | None]:
    """(depths, breakers, ledger). What is not there yet, or down, is said on stderr and left out."""
    depths: dict[str, Depth] = {}
    breakers: dict[str, BreakerRow] = {}
    ledger: Ledger | None = None
    try:
        depths = broker.depths(queues)
    except EsbError as error:
        click.secho(f"no queue depths: {error}", fg="yellow", err=True)
    finally:
        broker.close()
    try:
        from esb.cli.common import opened_store

        with opened_store(definition.root) as store, store.reading() as t:
            breakers, ledger = t.breakers.read_all(), t.tracking.ledger()
    except EsbError as error:
        click.secho(f"no figures: {error}", fg="yellow", err=True)
    return depths, breakers, ledger
