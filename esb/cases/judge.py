"""Compares what a flow or a mapping did with what a case expects; every difference is a line for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from esb.cases.compare import partial, whole
from esb.cases.files import Expected, FlowFailure, MappingCase, MappingFailure, Outcome
from esb.config.mappings import plain
from esb.errors import MessageError
from esb.flow import Call, Result, Send
from esb.message import Message
from esb.quoting import quote


def judge(expected: Outcome, result: Result) -> list[str]:
    """What a flow did otherwise than expected."""
    problems = _status(expected, result)
    if problems:
        return problems
    if expected.sends is not None:
        pairs = [(_recipient(send, expected.sends, n), send.message) for n, send in enumerate(result.sends)]
        problems += went_out("send", [(one.to, one) for one in expected.sends], pairs)
    if expected.calls is not None:
        asked = [(_recipient(call, expected.calls, n), call.message) for n, call in enumerate(result.calls)]
        problems += went_out("call", [(one.to, one) for one in expected.calls], asked)
    if expected.publishes is not None:
        going = [(event.message.contract, event.message) for event in result.events]
        problems += went_out("publish", [(one.event, one) for one in expected.publishes], going)
    return problems + _parts_failed(expected.failed_parts, result)


def _status(expected: Outcome, result: Result) -> list[str]:
    wanted = expected.status or ("failed" if expected.error else "completed")
    if result.status != wanted:
        reason = f": {result.error}" if result.error else ""
        return [f"expected status {wanted}, got {result.status}{reason}"]
    if expected.error and result.error:
        return _failed("error", expected.error, result.step, result.error)
    return []


def _recipient(send: Send | Call, expected: Sequence[Any], number: int) -> str:
    short = number < len(expected) and "." not in expected[number].to
    return send.endpoint if short else f"{send.endpoint}.{send.operation}"


def went_out(word: str, expected: Sequence[tuple[str, Expected]], actual: Sequence[tuple[str, Message]]) -> list[str]:
    """What of that which went out is not as expected: names in order, then documents. ``word`` says how it went out."""
    wanted, got = [name for name, _ in expected], [name for name, _ in actual]
    if wanted != got:
        return [f"expected to {word} {', '.join(wanted) or 'nothing'}; got {', '.join(got) or 'nothing'}"]
    problems = []
    for (name, one), (_, message) in zip(expected, actual, strict=True):
        found = _document_differs(one, msgspec.json.decode(message.body))
        problems += [f"{word} {name}:", *(f"  {line}" for line in found)] if found else []
    return problems


def _document_differs(expected: Expected, actual: Any) -> list[str]:
    if "document" in expected.model_fields_set:
        return whole(plain(expected.document), actual)
    return partial(plain(expected.partial), actual) if "partial" in expected.model_fields_set else []


def _parts_failed(expected: Sequence[FlowFailure], result: Result) -> list[str]:
    if len(expected) != len(result.children):
        texts = [f"  {child.step}: {child.error}" for child in result.children]
        return [f"expected {len(expected)} failed parts, got {len(result.children)}", *texts]
    pairs = enumerate(zip(expected, result.children, strict=True), 1)
    return [line for n, (one, child) in pairs for line in _failed(f"failed part {n}", one, child.step, child.error)]


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
    problems = _words(
        "error", {"kind": (expected.kind, error.kind), "leaf": (expected.leaf, getattr(error, "leaf", ""))}
    )
    return problems + _contains("error", expected.contains, error)


def _failed(what: str, expected: FlowFailure, step: str, error: MessageError) -> list[str]:
    problems = _words(what, {"step": (expected.step, step), "kind": (expected.kind, error.kind)})
    return problems + _contains(what, expected.contains, error)


def _words(what: str, words: Mapping[str, tuple[str | None, str]]) -> list[str]:
    pairs = words.items()
    return [f"{what}: expected {w} {a}, got {b or 'none'}" for w, (a, b) in pairs if a is not None and a != b]


def _contains(what: str, piece: str | None, error: MessageError) -> list[str]:
    return [f"{what}: expected {quote(piece)} in: {error}"] if piece is not None and piece not in str(error) else []
