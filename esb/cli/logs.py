"""Logging: readable on a terminal, JSON lines elsewhere; always on standard error, since data goes to the other."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TextIO

import structlog

if TYPE_CHECKING:
    from pydantic import SecretStr


def configure(role: str, level: str = "info", secrets: Sequence[SecretStr] = ()) -> None:
    """Set up the log of a role's process; what libraries log below a warning is dropped.

    Args:
        role: stands in every line.
        level: ``debug``, ``info``, ``warning`` or ``error``.
        secrets: what stands in no line, whoever wrote it.
    """
    _configure(level, secrets)
    structlog.contextvars.bind_contextvars(role=role)
    logging.basicConfig(handlers=[Forward()], level=logging.WARNING)
    # A connection that broke is told by whoever needed it; the pool would add a page of where it lay.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)


def configure_command(secrets: Sequence[SecretStr]) -> None:
    """The same for a command that ends by itself and says its results: only what goes wrong on the way."""
    if not structlog.is_configured():
        _configure("warning", secrets)


def _configure(level: str, secrets: Sequence[SecretStr]) -> None:
    terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(pad_event_to=0) if terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal),
            structlog.processors.format_exc_info,
            partial(_redacted, tuple(secrets)),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: Lines(sys.stderr),
    )


class Lines:
    """Writes each line in one piece, since several processes share the stream, and never fails.

    The log may lie on the disk that is full: what cannot be told is lost, and nobody stops working over it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """One line."""
        with suppress(OSError):
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = exception = msg


def _redacted(
    secrets: Sequence[SecretStr], logger: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """A line without secrets: an error of a library may quote the address or the header that it was given."""
    if secrets:
        from esb.config import redact

        return {key: redact(value, secrets) if isinstance(value, str) else value for key, value in event.items()}
    return event


class Forward(logging.Handler):
    """What libraries log (Celery, uvicorn) goes where our own lines go, in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(
            record.levelno, record.getMessage(), library=record.name, exc_info=record.exc_info or None
        )
