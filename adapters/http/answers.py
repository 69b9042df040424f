"""What an answer means for the message, and how to say it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

import msgspec

from esb.adapters.http.client import Answer
from esb.adapters.http.settings import HttpOperation, Statuses
from esb.errors import Busy, EsbError, Interrupted, Refused

LONGEST = 300  # characters of an answer that are shown
_BUSY = (408, 425, 429, 503)  # by their definitions nothing was done


def failure(operation: HttpOperation, answer: Answer, call: str, secrets: Sequence[str]) -> EsbError | None:
    """The error to raise for an answer, or None when it is a success. ``call`` says what was asked, for the text.

    The operation's own lists come first. A 500 or a gateway's 502 or 504 leaves open whether something was done.
    """
    status = answer.status
    if _among(status, operation.success):
        return None if answer.complete else Interrupted(f"{call} answered {status}, but its answer is cut or too long")
    text = f"{call} answered {status}{_said(answer, secrets)}"
    if _among(status, operation.refused):
        return Refused(text)
    if _among(status, operation.busy) or status in _BUSY or (status == 409 and "retry-after" in answer.headers):
        return Busy(text, retry_after(answer.headers.get("retry-after")))
    if 300 <= status < 400:
        return Refused(f"{text}; redirects are not followed, so put the right address into the endpoint")
    return Refused(text) if 400 <= status < 500 else Interrupted(text)


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """The seconds a Retry-After header asks for (a number, or a date), None where it says nothing sensible."""
    if not value:
        return None
    if value.isascii() and value.strip().isdigit() and len(value) < 10:
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - (time.time() if now is None else now))
    except (ValueError, TypeError, OverflowError):
        return None


def redact(text: str, secrets: Sequence[str]) -> str:
    """Text from outside, on one line, cut, and without the secrets it may echo."""
    for secret in secrets:
        text = text.replace(secret, "***")
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _among(status: int, ranges: Statuses) -> bool:
    return any(low <= status <= high for low, high in ranges)


def _said(answer: Answer, secrets: Sequence[str]) -> str:
    said = redact(_detail(answer) or answer.body[: 16 * LONGEST].decode("utf-8", "replace"), secrets)
    return f": {said}" if said else ""


def _detail(answer: Answer) -> str:
    """The sentence in a problem (RFC 9457) or another JSON object that has one."""
    if "json" not in answer.headers.get("content-type", ""):
        return ""
    try:
        problem = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    if not isinstance(problem, dict):
        return ""
    words = (problem.get(key) for key in ("detail", "title", "message", "error"))
    return next((word for word in words if isinstance(word, str) and word), "")
