"""The audit, as it is searched."""

from __future__ import annotations

import pytest

SCRIPT = '<script>alert("x")</script>'


@pytest.fixture
def acts(bus):
    """120 retries by ada, and one act with what should stay text."""
    with bus.store.transaction() as t:
        t.audit.append_all([("ada", "retry", f"m{number:03}", "try", "") for number in range(120)])
        t.audit.append(SCRIPT, SCRIPT, SCRIPT, SCRIPT, SCRIPT)


def test_pages_go_back_in_time(browser, acts):
    """Each older page begins where the one before ended."""
    client = browser("operator")
    page = client.get("/audit?who=ada").text
    assert "m119" in page and "m070" in page and "m069" not in page
    older = page.partition('href="/audit?who=ada&amp;before=')[2].partition('"')[0]
    page = client.get(f"/audit?who=ada&before={older}").text
    assert "m069" in page and "m070" not in page and "Newest" in page


def test_filters_stand_in_the_address(browser, acts):
    """By target, act and time; what does not match says so, what is no time is left out."""
    client = browser("operator")
    assert client.get("/audit?target=m00").text.count("<tr>") == 11
    assert "No act matches" in client.get("/audit?act=discard").text
    assert "No act matches" in client.get("/audit?to=2001-01-01T00:00").text
    assert "No act matches" not in client.get("/audit?from=2001-01-01T00:00:00&to=yesterday&before=x").text
    assert client.get("/audit?who=%00%ff&target=%ed%a0%80").status_code == 200


def test_script_stays_text(browser, acts):
    """Wherever it stands."""
    page = browser("operator").get("/audit").text
    assert SCRIPT not in page
    assert page.count("&lt;script&gt;") >= 4
