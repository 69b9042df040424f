"""Values that nobody gets to see, taken out of texts in one pass, however many they are.

A message of a few megabytes may hide hundreds of thousands of them, and each row that is written about it has texts to
be searched. So what is sought is kept in sets, and it is the text that is gone through, not the values.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

from esb.quoting import quote

HIDDEN = "***"
_HEAD = 8  # characters of a long value by which a cut-off piece of it is recognised
_START = re.compile(r"(?<!\w)(?=.)", re.DOTALL)  # where a word may begin
_ESCAPED = re.compile(r"[^ -~]|[\"'\\]")  # what JSON or Python write in another way
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")

Span = tuple[int, int]


class HiddenValues:
    """What is to be taken out of texts. Making it takes time for each value, using it does not."""

    def __init__(self, values: Iterable[str]) -> None:
        """Args: the values; each is sought as it stands, as JSON with and without letters beyond ASCII, and as Python
        shows it, likewise. Empty ones do not count."""
        forms = set(values) - {""}
        for value in [value for value in forms if _ESCAPED.search(value)]:
            forms.update((quote(value, 10_000)[1:-1], json.dumps(value)[1:-1], ascii(value)[1:-1], repr(value)[1:-1]))
        self._words = {form for form in forms if len(form) <= _HEAD}
        self._sizes = sorted({len(form) for form in self._words}, reverse=True)
        self._long = sorted(form for form in forms if len(form) > _HEAD)
        self._heads = {form[:_HEAD] for form in self._long}
        self._least = min((*self._sizes, _HEAD)) if forms else 0

    def without(self, text: str) -> str:
        """The text with ``***`` for each value: as it stands, escaped or percent-encoded, whole or cut off at its end.

        Values of up to eight characters are found where they stand as words, and whole.
        """
        if not self._least or len(text) < self._least:
            return text
        text = self._replaced(text, _as_it_stands)
        if "%" in text:
            text = self._replaced(text, _percent_decoded)
        return self._replaced(text, _form_decoded) if "+" in text else text

    def _replaced(self, text: str, read: Callable[[str], tuple[str, Sequence[int]]]) -> str:
        """Pieces of long values first, so that what is left beside one is a word of its own."""
        for find in (self._pieces, self._short):
            plain, places = read(text)
            text = _covered(text, ((places[start], places[end]) for start, end in find(plain)))
        return text

    def _pieces(self, text: str) -> Iterator[Span]:
        end = 0
        for start in range(len(text) - _HEAD + 1) if self._heads else ():
            if start >= end and text[start : start + _HEAD] in self._heads:
                end = self._reach(text, start)
                yield start, end

    def _reach(self, text: str, start: int) -> int:
        """Where the longest piece that begins here ends: it is of a neighbour of the text in the sorted list."""

        def is_behind(form: str) -> bool:
            agreed = _agreed(text, start, form)
            return form[agreed : agreed + 1] > text[start + agreed : start + agreed + 1]

        place = bisect_right(self._long, False, key=is_behind)
        return start + max(_agreed(text, start, form) for form in self._long[max(place - 1, 0) : place + 1])

    def _short(self, text: str) -> Iterator[Span]:
        for match in _START.finditer(text) if self._sizes else ():
            start = match.start()
            for size in self._sizes:
                end = start + size
                if text[start:end] in self._words and not _goes_on(text, end):
                    yield start, min(end, len(text))
                    break


def _agreed(text: str, start: int, form: str) -> int:
    """How many characters of a form stand in a text from a place on."""
    most = min(len(form), len(text) - start)
    return next((n for n in range(most) if text[start + n] != form[n]), most)


def _goes_on(text: str, at: int) -> bool:
    """Whether a word does not end before a place."""
    return at < len(text) and (text[at].isalnum() or text[at] == "_")


def _covered(text: str, spans: Iterable[Span]) -> str:
    """The text with ``***`` for each span; those that overlap are one."""
    pieces, kept = [], 0
    for start, end in spans:
        if start >= kept:
            pieces += [text[kept:start], HIDDEN]
        kept = max(kept, end)
    return "".join([*pieces, text[kept:]])


# --- readings: a text, and where each of its characters stands in the original (and the end, where it ends) ----------


def _as_it_stands(text: str) -> tuple[str, Sequence[int]]:
    return text, range(len(text) + 1)


def _percent_decoded(text: str) -> tuple[str, Sequence[int]]:
    """Whoever encoded it, and whatever they thought safe: paths, file names, what another side repeats."""
    pieces: list[str] = []
    places: list[int] = []
    at = 0
    for run in _PERCENT.finditer(text):
        start, end = run.span()
        piece = bytes.fromhex(run[0].replace("%", "")).decode("utf-8", "surrogateescape")
        pieces += [text[at:start], piece]
        places += range(at, start)
        at = start
        for character in piece:
            places.append(at)
            at += 3 * len(character.encode("utf-8", "surrogateescape"))
        at = end
    return "".join([*pieces, text[at:]]), [*places, *range(at, len(text) + 1)]


def _form_decoded(text: str) -> tuple[str, Sequence[int]]:
    """As queries and forms are encoded: a plus is a space."""
    return _percent_decoded(text.replace("+", " "))
