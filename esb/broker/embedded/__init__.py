"""The broker on SQLite: no server, and nothing lost when a process is killed."""

from esb.broker.embedded.broker import EmbeddedBroker

__all__ = ["EmbeddedBroker"]
