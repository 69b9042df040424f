"""The tool that times pages knows all of them."""

from __future__ import annotations

from pathlib import Path

from bench.pages import readings_of, shop


def test_every_page_is_timed(tmp_path: Path):
    """A route that is new and has no address there is an error; each page answers on a bus that has lived."""
    with shop(tmp_path, 1000) as bus:
        found = [one.path for one in readings_of(bus, runs=1)]
    assert {"/", "/messages?status=compensated", "/sagas/saga-000000", "/parked/replays", "/tables/roads"} <= {*found}
