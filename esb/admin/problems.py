"""Error pages. Each says what happened and what to do; what only the log should know has an id there."""

from __future__ import annotations

import flask
import structlog
from werkzeug.exceptions import HTTPException

from esb.admin.access import visitor
from esb.errors import BrokerError, StoreError
from esb.message import new_id

log = structlog.get_logger("esb.admin")

RETRY_AFTER = "5"  # seconds
_TITLES = {
    400: "That request cannot be used",
    401: "You are signed out",
    403: "You may not do that",
    404: "There is nothing here",
    405: "That is not how this address is used",
    413: "That is too large",
    421: "Not served under this name",
    429: "Too many tries",
}
_TEXTS = {
    404: "The address is wrong, or what it showed is gone: messages are kept as long as retention says.",
    405: "Open the page itself, and use what it offers.",
}


def install(app: flask.Flask) -> None:
    """Pages for what goes wrong."""
    app.register_error_handler(HTTPException, on_http)
    app.register_error_handler(StoreError, on_store)
    app.register_error_handler(BrokerError, on_broker)
    app.register_error_handler(Exception, on_bug)


def on_http(error: HTTPException) -> flask.typing.ResponseReturnValue:
    """What the framework and the views raise."""
    code = error.code or 500
    if code < 400:
        return error.get_response()
    response = _page(code, _TITLES.get(code, error.name), _TEXTS.get(code) or error.description or "")
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def on_store(error: Exception) -> flask.typing.ResponseReturnValue:
    """No page works without the store."""
    log.warning("the admin interface waits for the store", error=str(error))
    return _away("The store does not answer", error)


def on_broker(error: Exception) -> flask.typing.ResponseReturnValue:
    """Something needed the broker at once."""
    log.warning("the admin interface waits for the broker", error=str(error))
    return _away("The broker does not answer", error)


def on_bug(error: Exception) -> flask.typing.ResponseReturnValue:
    """What nobody foresaw."""
    id = new_id()
    log.error("a page failed", id=id, method=flask.request.method, path=flask.request.path, exc_info=error)
    text = "This is a fault of the bus itself; what it was about stands in the log of the web role, under this id:"
    return _page(500, "This page failed", text, id)


def _away(title: str, error: Exception) -> flask.Response:
    """Who is not signed in learns no names of servers."""
    text = "The bus goes on trying by itself, and so does this page when it is loaded again."
    response = _page(503, title, text, str(error) if visitor() else "")
    response.headers["Retry-After"] = RETRY_AFTER
    return response


def _page(code: int, title: str, text: str, detail: str = "") -> flask.Response:
    # A failure may have come before the visitor was known; the page itself must not fail for that.
    flask.g.setdefault("visitor", None)
    flask.g.setdefault("secret", "")
    return flask.make_response(
        flask.render_template("problem.html", code=code, title=title, text=text, detail=detail), code
    )
