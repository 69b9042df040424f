"""Why a message fared as it did at a step: what the step went by, the way taken, and why the others were not."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from esb.flow.recording import Note, Visit
from esb.flow.steps import STEPS
from esb.quoting import quote

LONGEST = 200  # characters of a value


class Reason(msgspec.Struct, frozen=True):
    """A value that a step went by: ``customer.country = "GB"``, ``true``, and what was read for it."""

    what: str
    value: str
    reads: Sequence[tuple[str, str]] = ()


class Way(msgspec.Struct, frozen=True):
    """One of the ways a message could have fared at a step; ``why`` says why it did not, where that can be told."""

    title: str
    taken: bool
    why: str = ""


class Explained(msgspec.Struct, frozen=True):
    """One step with its place in the file, what it said, and why."""

    step: str
    kind: str
    where: str
    said: str = ""
    part: str = ""
    reasons: Sequence[Reason] = ()
    ways: Sequence[Way] = ()
    skipped: Sequence[tuple[str, str]] = ()  # rules of a mapping that gave nothing, and why
    error: str = ""
    below: Sequence[Explained] = ()


def explain(visit: Visit) -> Explained:
    """What happened at a step, in words. Values are those of the document: cover it first where it must be."""
    step = visit.step
    return Explained(
        step=step.name,
        kind=step.kind,
        where=f"{step.file}:{step.line}" if step.file else "",
        said="; ".join(trace.outcome for trace in visit.traces),
        part=visit.part,
        reasons=[_reason(note) for note in visit.notes],
        ways=_ways(visit),
        skipped=[
            (rule.path, rule.why)
            for rule in visit.rules
            if rule.value is msgspec.UNSET and rule.why and not rule.failed
        ],
        error=visit.error,
        below=[explain(inner) for inner in visit.below],
    )


def _reason(note: Note) -> Reason:
    value = note.error or ("nothing" if note.value is None else quote(note.value, LONGEST))
    return Reason(note.what, value, note.reads)


def _ways(visit: Visit) -> list[Way]:
    """Those that lead through steps of their own, and the one that was taken."""
    kind, settings = STEPS[visit.step.kind], visit.step.settings
    titles = kind.outcomes(settings)
    leading = {way.title for way in kind.sketch(settings).ways if way.steps}
    taken = {trace.outcome for trace in visit.traces}
    shown = [title for title in titles if leading and (title in leading or title in taken)]
    return [Way(title, title in taken, "" if title in taken else _why_not(visit, title, titles)) for title in shown]


def _why_not(visit: Visit, title: str, titles: Sequence[str]) -> str:
    """A way that is a condition was false, or came behind one that was true."""
    note = next((note for note in visit.notes if note.what == title), None)
    if note is not None:
        return note.error or f"it is {quote(note.value, LONGEST)}"
    taken = next((trace.outcome for trace in visit.traces if trace.outcome in titles), None)
    if taken is None:
        return "the step failed before" if visit.error else ""
    return f"{quote(taken, LONGEST)} came first" if titles.index(taken) < titles.index(title) else "another was taken"
