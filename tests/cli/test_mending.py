"""A failed message becomes a test case, the case fails as it failed, and passes once the mapping is mended."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from processes import Esb, until

from esb.cli.scaffold import write

Run = Callable[..., Result]


@pytest.fixture
def parked(esb: Run, tmp_path: Path) -> Path:
    """A bus whose mapping takes the wrong field for the quantity; it ran, and was stopped."""
    place = tmp_path / "shop"
    write(place)
    mapping = place / "mappings" / "row-to-order.yaml"
    mapping.write_text(mapping.read_text().replace("quantity: quantity", "quantity: $number(customer)"))
    with Esb("run", "-C", place) as bus:
        bus.wait_for("is running")
        shutil.copy(place / "samples" / "orders.csv", place / "inbox" / "orders.csv")
        until(lambda: len(_failed(esb, place)) == 3)
        assert bus.stop(signal.SIGTERM) == 0
    return place


def _failed(esb: Run, place: Path) -> list[dict[str, object]]:
    return json.loads(esb("failed", "list", "-C", place, "--json").stdout or "[]")


def test_it_fails_as_it_failed_and_passes_once_the_mapping_is_mended(esb: Run, parked: Path) -> None:
    """From the failure to the guard against it, by commands alone; the message itself then goes through."""
    row = next(one for one in _failed(esb, parked) if (one["place"], one["subject"]) == ("flow:orders", "1001"))
    id = str(row["message_id"])
    saved = esb("failed", "export", "-C", parked, id, "--save")
    assert f"it fails: expected status completed, got failed: {row['error']}" in saved.stderr
    failing = esb("test", "-C", parked)
    assert (failing.exit_code, str(row["error"]).splitlines()[0] in failing.stdout) == (1, True)
    mapping = parked / "mappings" / "row-to-order.yaml"
    mapping.write_text(mapping.read_text().replace("quantity: $number(customer)", "quantity: quantity"))
    assert esb("test", "-C", parked).exit_code == 0
    assert "it passes: what was wrong is mended" in esb("failed", "export", "-C", parked, id).stderr
    assert esb("failed", "retry", "-C", parked, id, "--why", "mapping mended").exit_code == 0
    with Esb("run", "-C", parked) as bus:
        bus.wait_for("is running")
        until(lambda: any("1001" in file.read_text() for file in parked.glob("outbox/*.json")))
        assert bus.stop(signal.SIGTERM) == 0
    assert id not in [one["message_id"] for one in _failed(esb, parked)]
