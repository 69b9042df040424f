"""AMQP topic matching (AMQP 0-9-1, 3.1.3.3): in a pattern ``*`` stands for one word, ``#`` for any number of them."""

from __future__ import annotations

from collections.abc import Sequence


def matches(pattern: str, key: str) -> bool:
    """Whether a binding's pattern covers a routing key: ``order.#`` covers ``order`` and ``order.placed.v1``."""
    return pattern == key or _match(pattern.split("."), key.split("."))


def _match(pattern: Sequence[str], words: Sequence[str]) -> bool:
    # By rows, as in wildcard matching: `reach[i]` tells that the pattern so far covers the first i words. Linear in
    # memory and never exponential, which recursion over several `#` would be. kombu's own matcher is a regular
    # expression that backtracks.
    reach = [True] + [False] * len(words)
    for part in pattern:
        if part == "#":
            first = next((i for i, reached in enumerate(reach) if reached), len(reach))
            reach = [i >= first for i in range(len(reach))]
        else:
            reach = [False] + [reach[i] and part in ("*", word) for i, word in enumerate(words)]
    return reach[-1]
