"""The shipped scenarios hold on SQLite and on PostgreSQL."""

from esb.testing.store import StoreScenarios


class TestStore(StoreScenarios):
    """Every scenario, on each database."""
