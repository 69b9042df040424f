"""Topic patterns of the embedded broker."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esb.broker.topics import matches

WORDS = st.lists(st.sampled_from(["a", "b", "cd"]), min_size=1, max_size=5)
PATTERNS = st.lists(st.sampled_from(["a", "b", "cd", "*", "#"]), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("pattern", "key", "covered"),
    [
        ("order.placed.v1", "order.placed.v1", True),
        ("order.placed.v1", "order.placed.v2", False),
        ("order.*.v1", "order.placed.v1", True),
        ("order.*.v1", "order.v1", False),
        ("order.*", "order.placed.v1", False),
        ("order.#", "order", True),
        ("order.#", "order.placed.v1", True),
        ("order.#", "orders.placed", False),
        ("#.v1", "order.placed.v1", True),
        ("#.placed.#", "placed", True),
        ("#", "", True),
        ("*", "", True),
        ("*.*", "order", False),
    ],
)
def test_patterns_cover_keys_as_in_amqp(pattern: str, key: str, covered: bool) -> None:
    """A star is one word, a hash any number of them."""
    assert matches(pattern, key) is covered


@given(PATTERNS, WORDS)
def test_any_pattern_agrees_with_a_regular_expression(pattern: list[str], words: list[str]) -> None:
    """The same answers as a regular expression that says what the words mean."""
    parts = {"*": r"(?:[^.]+\.)", "#": r"(?:[^.]+\.)*"}
    expression = "".join(parts.get(part, re.escape(part) + r"\.") for part in pattern)
    expected = re.fullmatch(expression, "".join(f"{word}." for word in words)) is not None
    assert matches(".".join(pattern), ".".join(words)) is expected


def test_a_hostile_pattern_costs_little() -> None:
    """Many hashes against a long key that does not match are decided in a blink."""
    began = time.process_time()
    assert not matches(".".join(["#", "a"] * 30 + ["b"]), ".".join(["a"] * 60))
    assert time.process_time() - began < 5
