"""The Flask application."""

from __future__ import annotations

import flask

from esb.admin import access, areas, headers, presentation, problems
from esb.admin.services import Services

LARGEST = 4 * 1024**2  # bytes of a form: a document to try a mapping with


def create_app(services: Services) -> flask.Flask:
    """The admin interface as a WSGI application."""
    app = flask.Flask(__name__)
    app.config.update(
        MAX_CONTENT_LENGTH=LARGEST,
        MAX_FORM_MEMORY_SIZE=LARGEST,
        PROVIDE_AUTOMATIC_OPTIONS=False,
        SEND_FILE_MAX_AGE_DEFAULT=headers.A_YEAR,
    )
    headers.install(app, services)
    access.install(app, services)
    problems.install(app)
    placed = [(area, area.blueprint(services)) for area in areas.AREAS]
    for _, blueprint in placed:
        app.register_blueprint(blueprint)
    presentation.install(app, services, [(area, blueprint.name) for area, blueprint in placed])
    return app
