"""For load balancers and orchestrators: does the process live, does it have its store. They learn nothing more."""

from __future__ import annotations

from typing import Any

import flask

from esb.admin.access import public
from esb.admin.services import Services
from esb.errors import EsbError


def blueprint(services: Services) -> flask.Blueprint:
    """``/healthz`` and ``/readyz``, as the ingress has them."""
    area = flask.Blueprint("health", __name__)

    @area.get("/healthz")
    @public
    def alive() -> Any:
        return {"status": "alive"}

    @area.get("/readyz")
    @public
    def ready() -> Any:
        try:
            services.store.check()
        except EsbError:
            return {"status": "waiting for the store"}, 503, {"Retry-After": "5"}
        return {"status": "ready"}

    return area
