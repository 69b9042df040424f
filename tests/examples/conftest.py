from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from standins import ANY_PORT

from esb.examples.retail.demo import Systems, start_systems


@pytest.fixture
def systems(tmp_path: Path) -> Iterator[Systems]:
    """The stand-ins in a fresh directory; the warehouse never goes down by itself."""
    with start_systems(tmp_path / "demo", down_after=0, ports=ANY_PORT) as running:
        yield running
