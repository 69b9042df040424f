"""What is wrong with a bus directory, one mistake at a time: where it stands, what it is, what to do.

A closed list of kinds, a place for each, all at once and in order (learnt from yamllint and Benthos).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from esb.config.tree import Place, Spot

Kind = Literal[
    "unreadable-file",
    "yaml-syntax",
    "yaml-trap",
    "duplicate-key",
    "missing-file",
    "unknown-key",
    "missing-key",
    "wrong-type",
    "bad-value",
    "duplicate-name",
    "duplicate-path",
    "unknown-adapter",
    "unknown-format",
    "unknown-step",
    "unknown-endpoint",
    "unknown-operation",
    "unknown-mapping",
    "unknown-contract",
    "unknown-lookup",
    "bad-contract",
    "bad-lookup",
    "unsupported",
    "bad-expression",
    "unknown-path",
    "unknown-function",
    "bare-constant",
    "mangled-expression",
    "missing-secret",
    "missing-variable",
    "inline-secret",
    "unmasked",
    "unencrypted",
    "loop",
    "unreachable-flow",
    "retention",
    "unused",
]


class Finding(msgspec.Struct, frozen=True, kw_only=True, order=False):
    """One mistake. ``pointer`` is the JSON Pointer of the value within its document, ``hint`` the nearest valid word.

    ``line`` and ``column`` count from 1. A ``warning`` does not keep the bus from running.
    """

    file: str
    line: int
    column: int
    kind: Kind
    text: str
    level: Literal["error", "warning"] = "error"
    pointer: str = ""
    value: Any = None
    hint: str = ""

    def __str__(self) -> str:
        quoted = self.kind == "mangled-expression"  # the hint is the expression in quotes, as it can be copied
        hint = (f" Write {self.hint}" if quoted else f" Did you mean {self.hint!r}?") if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {self.level} [{self.kind}] {self.text}{hint}"


def nearest(word: str, words: Iterable[str]) -> str:
    """The known word that looks most like ``word``, or ""."""
    known = sorted(set(words))
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if found:
        return found[0]
    lowered = {entry.lower(): entry for entry in known}
    longer = [entry for entry in known if len(word) > 2 and entry.startswith(word)]  # dir for directory
    return lowered.get(word.lower(), longer[0] if len(longer) == 1 else "")


def shown(value: Any, limit: int = 60) -> Any:
    """A value fit for a finding: scalars as they are (long text cut), containers as a word."""
    if isinstance(value, str):
        return value if len(value) <= limit else value[: limit - 1] + "…"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return "{…}"
    return "[…]" if isinstance(value, list | tuple) else "***"


class Report:
    """Collects findings while a directory is read. What is already known to be wrong is not reported again."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._spoilt: set[tuple[str, int, int]] = set()

    @property
    def has_errors(self) -> bool:
        """Whether anything found so far keeps the bus from running."""
        return any(finding.level == "error" for finding in self.findings)

    def add(self, place: Place, kind: Kind, text: str, **rest: Any) -> None:
        """One finding at a place; a second *error* at the same place is taken for its consequence and dropped.

        Args:
            place: where it stands.
            kind: from the closed list.
            text: one sentence on what is wrong and what to do.
            rest: further fields of :class:`Finding`.
        """
        where = (place.file, place.line, place.column)
        warning = rest.get("level") == "warning"
        if where in self._spoilt and not warning:
            return
        if not warning:
            self._spoilt.add(where)
        line, column = place.line, place.column
        self.findings.append(Finding(file=place.file, line=line, column=column, kind=kind, text=text, **rest))

    def retract(self, place: Place, kind: Kind) -> None:
        """A finding that another one at its place makes pointless is taken back, so that the other is reported."""
        where = (place.file, place.line, place.column)
        kept = [f for f in self.findings if (f.file, f.line, f.column, f.kind) != (*where, kind)]
        if len(kept) < len(self.findings):
            self.findings[:] = kept
            self._spoilt.discard(where)

    def at(self, spot: Spot, kind: Kind, text: str, **rest: Any) -> None:
        """One finding about the value of a spot."""
        rest.setdefault("value", shown(spot.value))
        self.add(spot.place, kind, text, pointer=spot.pointer, **rest)

    def at_key(self, spot: Spot, kind: Kind, text: str, **rest: Any) -> None:
        """One finding about the key of a spot."""
        self.add(spot.key_at, kind, text, pointer=spot.pointer, **rest)

    def extend(self, findings: Iterable[Finding]) -> None:
        """Findings made elsewhere (the YAML reader's)."""
        for finding in findings:
            self.findings.append(finding)
            self._spoilt.add((finding.file, finding.line, finding.column))


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sorted by place; what was found twice stays once."""
    unique = {(f.file, f.line, f.column, f.kind, f.text): f for f in findings}
    return tuple(unique[key] for key in sorted(unique))


def format_findings(findings: Iterable[Finding], sources: Mapping[str, str]) -> str:
    """The findings as text for people: each with its source line and a caret under the column.

    Args:
        findings: as ``check`` returns them.
        sources: file name -> text (``Checked.sources``); a file that is not there is shown without its line.
    """
    lines: list[str] = []
    for finding in findings:
        lines.append(str(finding))
        source = sources.get(finding.file, "").split("\n")
        if 0 < finding.line <= len(source) and source[finding.line - 1].strip():
            lines.extend(_excerpt(source[finding.line - 1].rstrip("\r"), finding))
    return "\n".join(lines) + ("\n" if lines else "")


def _excerpt(line: str, finding: Finding) -> tuple[str, str]:
    # Tabs stay tabs in the line below, so that the caret stands right whatever their width.
    lead = "".join("\t" if c == "\t" else " " for c in line[: finding.column - 1].ljust(finding.column - 1))
    number = f"{finding.line:>5} | "
    return f"{number}{line}", " " * (len(number) - 2) + "| " + lead + "^"


def to_json(findings: Iterable[Finding]) -> bytes:
    """The findings as a JSON array, one object each."""
    return msgspec.json.encode(list(findings))
