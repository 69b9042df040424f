"""SQL that people write into settings: looked over once, when the configuration is loaded, and never put together.

No parser: the text is only cut into quoted parts, comments, parameters and the rest, which is enough to know that it
is one statement, that nothing of it is hidden in a comment, and which parameters it has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"(?P<quoted>'(?:[^'\\]|'')*'|\"(?:[^\"\\]|\"\")*\"|`[^`\\]*`)|(?P<comment>--|/\*|\#)|(?P<end>;)|(?P<cast>::)"
    r"|:(?P<name>[A-Za-z_]\w*)|(?P<open>['\"`\\]|\$\w*\$)|(?P<bracket>[()])"
)
_VERBS = ("insert", "update", "delete", "merge", "replace", "call", "select", "with")


def sql_condition(text: str) -> str:
    """A condition for WHERE, as it is. Raises ``ValueError`` saying what cannot stand in one."""
    _look_over(text)
    if parameters(text):
        raise ValueError("a condition has no :parameters, since there is no message to take them from")
    return text


def sql_statement(text: str) -> str:
    """One statement, without a semicolon behind it. Raises ``ValueError`` saying what cannot stand in one."""
    text = text.strip().removesuffix(";").rstrip()
    _look_over(text)
    if text.split(None, 1)[:1] == [] or text.split(None, 1)[0].lower() not in _VERBS:
        raise ValueError(f"one statement is needed that begins with one of {', '.join(_VERBS)}")
    return text


def sql_query(text: str) -> str:
    """One SELECT. Raises ``ValueError`` saying what cannot stand in one."""
    text = text.strip().removesuffix(";").rstrip()
    _look_over(text)
    if (text.split(None, 1) or [""])[0].lower() not in ("select", "with"):
        raise ValueError("one statement is needed that begins with select (or with)")
    return text


def parameters(text: str) -> tuple[str, ...]:
    """The names behind colons, each once, in order."""
    return tuple(dict.fromkeys(match["name"] for match in _tokens(text) if match["name"]))


def bindable(text: str) -> str:
    """The text as ``sqlalchemy.text`` wants it: a colon within quotes is no parameter."""
    return _TOKEN.sub(lambda m: m[0].replace(":", "\\:") if m["quoted"] else m[0], text)


def _look_over(text: str) -> None:
    depth = 0
    for match in _tokens(text):
        if match["comment"]:
            raise ValueError("comments cannot stand here")
        if match["end"]:
            raise ValueError("one statement only: there is a semicolon within it")
        if match["open"]:
            raise ValueError("a quote is open, or there is a backslash or $$, which each database reads differently")
        if match["bracket"]:
            depth += 1 if match["bracket"] == "(" else -1
        if depth < 0:
            break
    if depth:
        raise ValueError("its brackets do not match")


def _tokens(text: str) -> Iterator[re.Match[str]]:
    return _TOKEN.finditer(text)
