"""Durations and sizes, read and written as people do."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel

from esb.units import Duration, duration_text, seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [("500ms", 0.5), ("5s", 5), ("10m", 600), ("1d", 86400), ("1h 30m", 5400), ("30d 5m", 2592300), ("1m 1.5s", 61.5)],
)
def test_a_duration_is_written_in_its_largest_units_and_read_back(text: str, value: float) -> None:
    """What a finding prints can be put into the file, and an editor's schema takes it as well."""
    assert duration_text(value) == text
    assert seconds(text) == value
    pattern = Wait.model_json_schema()["properties"]["wait"]["anyOf"][0]["pattern"]
    assert re.search(pattern, text)


@pytest.mark.parametrize("text", ["", "5", "m5", "5 weeks", "1h, 30m", "1h -30m", "-5s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Also a part of it."""
    with pytest.raises(ValueError, match="a duration such as"):
        seconds(text)


class Wait(BaseModel):
    """Settings with a duration."""

    wait: Duration
