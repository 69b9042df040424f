"""Expressions that YAML read as something else, or could not read at all.

JSONata and YAML share punctuation: `` ` `` quotes a field in one and is reserved in the other, ``"a" & b`` is a
quoted scalar with garbage behind it, ``x ? y : z`` a nested mapping, and `` #`` begins a comment. The remedy is
always the same, single quotes around the whole, so the finding shows it.
"""

from __future__ import annotations

import re
from typing import Any

from esb.config.findings import Finding, shown
from esb.config.tree import Place

_ENTRY = re.compile(r"^(?P<lead>\s*(?:- +)*(?:[{\[] *)?(?P<key>[\w.$-]+|'[^']*'|\"[^\"]*\"): +)(?P<value>\S.*)$")
_IN_FLOW = re.compile(r"(?P<key>[\w$.-]+): (?P<value>[^,{}]*? \? [^,{}]*? : [^,{}]*)")


def explain_syntax_error(error: Any, text: str, file: str) -> Finding:
    """The one finding for a file that the YAML parser refuses.

    Args:
        error: what PyYAML raised.
        text: the file's text.
        file: its name in findings.
    """
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return _unreadable(error, text, file)
    lines = text.split("\n")
    number = min(mark.line, len(lines) - 1)
    if tab := _tab(lines[number], mark.column):
        return Finding(
            file=file, line=number + 1, column=tab, kind="yaml-syntax", text="A tab cannot indent YAML: use spaces."
        )
    found = _expression(lines, number, file)
    return found or Finding(
        file=file, line=mark.line + 1, column=mark.column + 1, kind="yaml-syntax", text=_sentence(error)
    )


def _sentence(error: Any) -> str:
    problem = getattr(error, "problem", None) or "this is not YAML"
    context = getattr(error, "context", None)
    where = f" {context}" if context else ""
    return f"YAML cannot be read here{where}: {problem}. Check quotes, colons, brackets and indentation."


def _unreadable(error: Any, text: str, file: str) -> Finding:
    position = getattr(error, "position", None) or 0
    before = text[:position]
    return Finding(
        file=file,
        line=before.count("\n") + 1,
        column=position - (before.rfind("\n") + 1) + 1,
        kind="unreadable-file",
        text="A control character stands here; YAML allows none. Remove it.",
    )


def _tab(line: str, column: int) -> int:
    lead = re.match(r"[ \t]*", line)
    tab = line.find("\t", 0, lead.end() if lead else 0)
    return tab + 1 if 0 <= tab <= column else 0


def _expression(lines: list[str], number: int, file: str) -> Finding | None:
    """The finding when the line that failed, or the one before it, holds an expression without its quotes."""
    for at in (number, number - 1):
        if at < 0:
            continue
        match = _ENTRY.match(lines[at])
        value = match["value"].rstrip() if match else ""
        inner = _IN_FLOW.search(lines[at])
        if inner and " ? " in inner["value"]:
            return _mangled(file, at, inner.start("value"), inner["value"].strip())
        if match and _broken(value):
            return _mangled(file, at, match.start("value"), value)
    return None


def _broken(value: str) -> bool:
    if value[0] in "`%@":
        return True
    if value[0] in "\"'":
        close = value.find(value[0], 1)
        rest = value[close + 1 :].strip() if close > 0 else ""
        return bool(rest) and rest[0] not in ":#,}]"
    return " ? " in value and " : " in value


def _mangled(file: str, row: int, column: int, value: str) -> Finding:
    return Finding(
        file=file,
        line=row + 1,
        column=column + 1,
        kind="mangled-expression",
        text="YAML cannot read this expression as it stands: put all of it in single quotes.",
        value=shown(value),
        hint="'" + value.replace("'", "''") + "'",
    )


def cut_comment(place: Place, source: str) -> int:
    """The column where a comment begins right behind a plain scalar, or 0: there YAML may have cut an expression."""
    lines = source.split("\n")
    if place.style or not 0 < place.end_line <= len(lines):
        return 0
    rest = lines[place.end_line - 1][place.end_column - 1 :]
    match = re.match(r"\s+#", rest)
    return place.end_column + match.end() - 1 if match else 0


def inside(place: Place, source: str, offset: int) -> tuple[int, int]:
    """Line and column, in the file, of a character of a scalar's value.

    Right for what stands on one line without escapes and for ``|`` blocks; else the start of the value.
    """
    lines = source.split("\n")
    row = place.line - 1
    if not 0 <= row < len(lines) or offset < 0:
        return place.line, place.column
    if place.style in ("|", ">"):
        return _in_block(place, lines, offset)
    if place.end_line != place.line:
        return place.line, place.column
    quote = 1 if place.style else 0
    written = lines[row][place.column - 1 + quote :]
    return place.line, place.column + quote + _written_length(written, offset, place.style)


def _written_length(written: str, offset: int, style: str) -> int:
    position = 0
    for _ in range(offset):
        pair = written[position : position + 2]
        position += 2 if (style == "'" and pair == "''") or (style == '"' and pair[:1] == "\\") else 1
    return position


def _in_block(place: Place, lines: list[str], offset: int) -> tuple[int, int]:
    body = lines[place.line :]
    indent = next((len(line) - len(line.lstrip(" ")) for line in body if line.strip()), 0)
    for number, line in enumerate(body, place.line + 1):
        length = len(line[indent:]) + 1
        if offset < length:
            return number, indent + offset + 1
        offset -= length
    return place.line, place.column
