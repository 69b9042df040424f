"""What the README shows is compared strictly. The tour itself is walked in tests/ui/test_tour.py."""

from __future__ import annotations

from terminal import missing


def test_tour_notices_what_does_not_come() -> None:
    """A line that is not there is missing, and one line of output does not count for two shown."""
    assert missing(["…  O-1001  …"], "x  O-1002  y") == ["…  O-1001  …"]
    assert missing(["a …", "a …"], "a 1") == ["a …"]
    assert missing(["a …", "", "…"], "  a   1\n") == []
