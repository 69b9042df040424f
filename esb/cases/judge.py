"""Compares what a case led to with what it expects; every difference is a line for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from esb.cases.compare import partial, whole
from esb.cases.models import (
    Expected,
    ExpectedEvent,
    ExpectedParked,
    ExpectedSend,
    FlowFailure,
    MappingCase,
    MappingFailure,
    Outcome,
    SagaOutcome,
)
from esb.cases.played import Played, Sent, Told
from esb.config.mappings import plain
from esb.errors import MessageError
from esb.quoting import quote
from esb.store import Parked
from esb.units import duration_text

FAILED = "failed"  # what a flow says where the journey says parked
_WORST_FIRST = (FAILED, "in doubt", "retrying", "waiting", "completed")


def judge_flow(expected: Outcome, played: Played, flow: str) -> list[str]:
    """What a flow did otherwise than expected."""
    failures = [row for row in played.parked if row.message.id in played.roots and not row.place.startswith("out:")]
    problems = _status(expected, _fared(played, f"flow:{flow}"), failures)
    if problems:
        return problems
    problems += _went_out(expected, played)
    parts = [row for row in played.parked if row.place == f"flow:{flow}" and row.message.id not in played.roots]
    return problems + _parts_failed(expected.failed_parts, parts) + _parked(expected.parked, played)


def judge_saga(expected: SagaOutcome, played: Played) -> list[str]:
    """What a saga did otherwise than expected."""
    if not played.sagas:
        reasons = [f"{row.kind}: {row.error}" for row in played.parked]
        return [f"expected status {expected.status}, and no saga began" + "".join(f": {one}" for one in reasons)]
    saga, problems = played.sagas[0], []
    if saga.status != expected.status:
        problems.append(f"expected status {expected.status}, got {saga.status}{f': {saga.reason}' * bool(saga.reason)}")
    if expected.step is not None and saga.step != expected.step:
        problems.append(f"expected to be at step {expected.step}, got {saga.step or 'none'}")
    if expected.contains is not None and expected.contains not in saga.reason:
        problems.append(f"expected {expected.contains!r} in the reason: {saga.reason}")
    return problems + _went_out(expected, played) + _parked(expected.parked, played)


def _fared(played: Played, place: str) -> str:
    """How what was given fared; of several the worst."""
    roots, ends = set(played.roots), {}
    for hop in played.hops:
        label = FAILED if hop.status.label == "parked" else hop.status.label
        if hop.message_id in roots and (hop.place == place or (hop.place.startswith("in:") and label == FAILED)):
            ends[hop.message_id] = label
    found = set(ends.values())
    return next((word for word in _WORST_FIRST if word in found), next(iter(sorted(found)), "nothing"))


def _status(expected: Outcome, fared: str, failures: Sequence[Parked]) -> list[str]:
    wanted = expected.status or (FAILED if expected.error else "completed")
    if fared != wanted:
        reason = f": {failures[0].error}" if failures else ""
        return [f"expected status {wanted}, got {fared}{reason}"]
    if expected.error and failures:
        return _failed("error", expected.error, failures[0])
    return []


def _went_out(expected: Outcome | SagaOutcome, played: Played) -> list[str]:
    problems: list[str] = []
    if isinstance(expected, Outcome) and expected.sends is not None:
        problems += _commands("send", expected.sends, played.sends)
    if expected.calls is not None:
        problems += _commands("call", expected.calls, played.calls)
    if expected.publishes is not None:
        names = [told.event for told in played.events]
        problems += _each(
            "publish", [one.event for one in expected.publishes], names, expected.publishes, played.events
        )
    return problems


def _commands(word: str, expected: Sequence[ExpectedSend], sent: Sequence[Sent]) -> list[str]:
    """By the endpoint alone where the case names no more."""
    short = [n < len(expected) and "." not in expected[n].to for n in range(len(sent))]
    names = [one.to.partition(".")[0] if s else one.to for one, s in zip(sent, short, strict=True)]
    return _each(word, [one.to for one in expected], names, expected, sent)


def _each(
    word: str,
    wanted: Sequence[str],
    got: Sequence[str],
    expected: Sequence[ExpectedSend | ExpectedEvent],
    actual: Sequence[Sent | Told],
) -> list[str]:
    """Names in order, then what is said of each. ``word`` says how they went out."""
    if wanted != got:
        return [f"expected to {word} {', '.join(wanted) or 'nothing'}; got {', '.join(got) or 'nothing'}"]
    problems = []
    for name, one, other in zip(wanted, expected, actual, strict=True):
        found = _differs(one, other)
        problems += [f"{word} {name}:", *(f"  {line}" for line in found)] if found else []
    return problems


def _differs(expected: ExpectedSend | ExpectedEvent, actual: Sent | Told) -> list[str]:
    message = actual.message
    lines = _document_differs(expected, msgspec.json.decode(message.body))
    lines += [f"header {line[1:]}" for line in partial(expected.headers, dict(message.headers))]
    said: dict[str, tuple[Any, Any]] = {"subject": (expected.subject, message.subject)}
    if expected.at is not None and abs(expected.at - actual.at) > 0.001:
        lines.append(f"expected at {duration_text(expected.at)}, got {duration_text(actual.at)}")
    if isinstance(expected, ExpectedSend) and isinstance(actual, Sent):
        said |= {"attempts": (expected.attempts, actual.attempts), "status": (expected.status, actual.status)}
    return lines + [f"expected {w} {a}, got {b or 'none'}" for w, (a, b) in said.items() if a is not None and a != b]


def _document_differs(expected: Expected, actual: Any) -> list[str]:
    if "document" in expected.model_fields_set:
        return whole(plain(expected.document), actual)
    return partial(plain(expected.partial), actual) if "partial" in expected.model_fields_set else []


# --- failures -------------------------------------------------------------------------------------------------------


def _parts_failed(expected: Sequence[FlowFailure], parts: Sequence[Parked]) -> list[str]:
    if len(expected) != len(parts):
        texts = [f"  {part.step}: {part.error}" for part in parts]
        return [f"expected {len(expected)} failed parts, got {len(parts)}", *texts]
    pairs = enumerate(zip(expected, parts, strict=True), 1)
    return [line for n, (one, part) in pairs for line in _failed(f"failed part {n}", one, part)]


def _parked(expected: Sequence[ExpectedParked] | None, played: Played) -> list[str]:
    """Each that is expected must be one of those there are, and none may be left."""
    if expected is None:
        return []
    left, problems = list(played.parked), []
    for n, one in enumerate(expected, 1):
        tries = [(_failed(f"parked {n}", one, row), row) for row in left]
        found = next((row for lines, row in tries if not lines), None)
        if found is not None:
            left.remove(found)
        else:
            closest = sorted((lines for lines, _ in tries), key=len)
            problems += closest[0] if closest else [f"parked {n}: there is none"]
    return problems + [f"not expected to be parked: {row.place}, {row.kind}: {row.error}" for row in left]


def _failed(what: str, expected: FlowFailure, row: Parked) -> list[str]:
    step = row.place if row.place.startswith("in:") else row.step
    words: dict[str, tuple[str | None, str]] = {"step": (expected.step, step), "kind": (expected.kind, row.kind)}
    if isinstance(expected, ExpectedParked):
        words |= {"place": (expected.place, row.place), "subject": (expected.subject, row.message.subject or "")}
    return _words(what, words) + _contains(what, expected.contains, row.error)


def judge_document(case: MappingCase, made: Any) -> list[str]:
    """What is different about the document that a mapping made."""
    if case.error is not None:
        return [f"expected an error, got a document: {quote(made, 500)}"]
    if "expect" in case.model_fields_set:
        return whole(plain(case.expect), made)
    return partial(plain(case.expect_partial), made)


def judge_error(expected: MappingFailure | None, error: MessageError) -> list[str]:
    """What is different about the error of a mapping."""
    if expected is None:
        return [f"expected a document, got an error: {error}"]
    leaf = getattr(error, "leaf", "")
    problems = _words("error", {"kind": (expected.kind, error.kind), "leaf": (expected.leaf, leaf)})
    return problems + _contains("error", expected.contains, str(error))


def _words(what: str, words: Mapping[str, tuple[str | None, str]]) -> list[str]:
    pairs = words.items()
    return [f"{what}: expected {w} {a}, got {b or 'none'}" for w, (a, b) in pairs if a is not None and a != b]


def _contains(what: str, piece: str | None, text: str) -> list[str]:
    return [f"{what}: expected {quote(piece)} in: {text}"] if piece is not None and piece not in text else []
