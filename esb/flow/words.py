"""Words that an expression gives, for steps that go by them: targets of a recipient list, entries of a routing slip."""

from __future__ import annotations

from typing import Any

from esb.errors import ExpressionError
from esb.quoting import quote

Words = tuple[str, ...]


def words_of(value: Any, text: str) -> Words:
    """A list of texts, or one text with commas between the words; nothing is no word.

    Raises ``ExpressionError``, naming the expression ``text``, for anything else.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(word for word in (part.strip() for part in value.split(",")) if word)
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise ExpressionError(f"`{text}` gives {quote(value)}: it must be a word, or a list of words")
