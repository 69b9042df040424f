"""What goes with every answer: nothing from elsewhere, nothing kept, nothing framed."""

from __future__ import annotations

import flask

from esb.admin.services import Services

A_YEAR = 365 * 86400  # seconds; the address of a static file holds its content's hash
POLICY = "; ".join((
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "font-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
))  # fmt: skip
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: with it browsers send `Origin: null` with our own forms, and the origin could not be checked.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def install(app: flask.Flask, services: Services) -> None:
    """Add the headers, and answer 304 to a page that asks whether anything changed."""

    @app.after_request
    def add(response: flask.Response) -> flask.Response:
        response.headers.update(HEADERS)
        if services.settings.url.startswith("https:"):
            response.headers["Strict-Transport-Security"] = f"max-age={A_YEAR}"
        if flask.request.endpoint == "static":
            return response
        response.headers["Cache-Control"] = "no-store"
        response.headers["Vary"] = "Cookie"
        return _conditional(response)


def _conditional(response: flask.Response) -> flask.Response:
    """Only for our own script: a browser keeps nothing, so it has nothing to compare."""
    if flask.request.method == "GET" and response.status_code == 200 and not response.is_streamed:
        response.add_etag()
        response.make_conditional(flask.request)
    return response
