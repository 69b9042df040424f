"""The embedded broker under the shipped suite, and what is particular to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from esb.testing.broker import BrokerFeatures, BrokerSuite


class TestEmbedded(BrokerSuite):
    """The shipped scenarios."""

    features = BrokerFeatures(atomic_transfer=True, exact_limits=True, release_unblamed=True, kills=10)

    @pytest.fixture
    def address(self, tmp_path: Path) -> tuple[str, str]:
        """A data directory of the test's own."""
        return "embedded", str(tmp_path)
