"""Help: the keyboard's keys, the words of the status, where to read on."""

from __future__ import annotations

from typing import Any

import flask

from esb.admin.services import Services
from esb.store import Status

MEANINGS = {
    Status.COMPLETED: "Done: every step of the flow, or the delivery to the endpoint.",
    Status.ACCEPTED: "In: the message is safe in the broker.",
    Status.RETRYING: "It failed, and is tried again by itself after a while.",
    Status.PARKED: "It failed for good, and waits for a person: mend the cause, then retry or discard it.",
    Status.IN_DOUBT: "It was sent, but nobody can know whether it arrived. Look at the other system before you decide.",
    Status.FILTERED: "A step of the flow left it out, as it should.",
    Status.DUPLICATE: "It came before, and was set aside.",
    Status.UNSUBSCRIBED: "An event that no flow asked for.",
    Status.DISCARDED: "A person gave it up.",
    Status.REJECTED: "It was answered with a failure; the flow or saga that asked decides what follows.",
    Status.COMPENSATED: "Done, and undone by a saga that turned back.",
}


def blueprint(services: Services) -> flask.Blueprint:
    """``/help``."""
    area = flask.Blueprint("guide", __name__)

    @area.get("/help")
    def index() -> Any:
        return flask.render_template("guide/index.html", meanings=MEANINGS)

    return area
