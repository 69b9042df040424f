"""The Celery application."""

from __future__ import annotations

import celery


def make_app(broker: str) -> celery.Celery:
    """The application for a broker's address. Results are kept in the store, so there is no result backend."""
    return celery.Celery("esb", broker=broker, set_as_current=False)
