from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from esb.config import Definition, load
from esb.discovery import discover
from esb.examples.retail.demo import ANY_PORT, Systems, lay_out, start_systems


@pytest.fixture(scope="session")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systems]:
    """All stand-ins as the demo starts them; none fails."""
    place = tmp_path_factory.mktemp("systems") / "demo"
    with start_systems(place, troubles=False, ports=ANY_PORT) as running:
        yield running


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bus as the demo lays it out."""
    directory = tmp_path_factory.mktemp("retail") / "demo"
    lay_out(directory).close()
    return directory


@pytest.fixture(scope="session")
def definition(directory: Path) -> Definition:
    return load(directory, discover(), environ={})
