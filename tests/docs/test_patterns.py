"""All 65 patterns have a place in the documentation, and cases that run."""

from __future__ import annotations

import re

import msgspec
import pytest
import shown
from pages import DOCS, ROOT, headings

from esb.cases.run import CaseResult, run_cases
from esb.config import check, load
from esb.discovery import discover
from esb.flow import build_parts

INDEX = DOCS / "patterns" / "README.md"
ALL = (
    # Integration styles
    "File Transfer", "Shared Database", "Remote Procedure Invocation", "Messaging",
    # Messaging systems
    "Message Channel", "Message", "Pipes and Filters", "Message Router", "Message Translator", "Message Endpoint",
    # Messaging channels
    "Point-to-Point Channel", "Publish-Subscribe Channel", "Datatype Channel", "Invalid Message Channel",
    "Dead Letter Channel", "Guaranteed Delivery", "Channel Adapter", "Messaging Bridge", "Message Bus",
    # Message construction
    "Command Message", "Document Message", "Event Message", "Request-Reply", "Return Address",
    "Correlation Identifier", "Message Sequence", "Message Expiration", "Format Indicator",
    # Message routing
    "Content-Based Router", "Message Filter", "Dynamic Router", "Recipient List", "Splitter", "Aggregator",
    "Resequencer", "Composed Message Processor", "Scatter-Gather", "Routing Slip", "Process Manager",
    "Message Broker",
    # Message transformation
    "Envelope Wrapper", "Content Enricher", "Content Filter", "Claim Check", "Normalizer", "Canonical Data Model",
    # Messaging endpoints
    "Messaging Gateway", "Messaging Mapper", "Transactional Client", "Polling Consumer", "Event-Driven Consumer",
    "Competing Consumers", "Message Dispatcher", "Selective Consumer", "Durable Subscriber", "Idempotent Receiver",
    "Service Activator",
    # System management
    "Control Bus", "Detour", "Wire Tap", "Message History", "Message Store", "Smart Proxy", "Test Message",
    "Channel Purger",
)  # fmt: skip
BUSES = ("examples/patterns/", "examples/retail/")  # the cases of both run in tests


class Row(msgspec.Struct, frozen=True):
    """One line of the index: the pattern, where its page and its cases are."""

    pattern: str
    page: str
    cases: tuple[str, ...]


def index() -> list[Row]:
    """The index, read."""
    lines = re.findall(r"^\| (?!pattern |---)(.*) \|$", INDEX.read_text(encoding="utf-8"), re.MULTILINE)
    return [_row(*re.split(r" *\| *", line)) for line in lines]


def _row(pattern: str, about: str, cases: str) -> Row:
    linked = re.fullmatch(r"\[(.+)\]\((.+)\)", pattern)
    found = re.findall(r"\(\.\./\.\./([^)]+)\)", cases)
    return Row(linked[1] if linked else pattern, linked[2] if linked and about else "", tuple(found))


@pytest.fixture(scope="module")
def results() -> list[CaseResult]:
    """Every case of the patterns, run."""
    definition = load(shown.BUS, discover(), environ={})
    return list(run_cases(definition, build_parts(definition)))


def test_the_index_has_all_65_in_the_order_of_the_book() -> None:
    """None is missing, none is there twice, none is invented."""
    assert len(set(ALL)) == 65
    assert [row.pattern for row in index()] == list(ALL)


def test_each_pattern_has_a_page_and_cases() -> None:
    """What does it here is told under its own name, with a file that is shown or tested."""
    bare = {row.pattern for row in index() if not row.page or not row.cases}
    assert bare == set()


@pytest.mark.parametrize("row", index(), ids=lambda row: row.pattern)
def test_the_page_explains_its_pattern(row: Row) -> None:
    """The page has a heading with the pattern's name, and shows files."""
    page = INDEX.parent / row.page.partition("#")[0]
    assert row.pattern in headings(page)
    assert list(shown.names(page.read_text(encoding="utf-8")))


def test_the_cases_of_the_index_run_and_pass(results: list[CaseResult]) -> None:
    """Each linked file is among those that run, and no case of any pattern fails."""
    assert {f"{one.file}:{one.line} {one.name}": one.problems for one in results if not one.passed} == {}
    ran = {f"examples/patterns/{one.file}" for one in results}
    linked = {file for row in index() for file in row.cases}
    assert {file for file in linked if not file.startswith(BUSES) or not (ROOT / file).is_file()} == set()
    assert {file for file in linked if file.startswith(BUSES[0])} <= ran


def test_the_bus_of_the_patterns_has_no_findings() -> None:
    """Neither errors nor warnings, without any environment."""
    assert [str(found) for found in check(shown.BUS, discover(), environ={})] == []


def test_pages_show_the_files_that_are_tested() -> None:
    """What stands on a page is the file itself."""
    drifted = [page.name for page, text in shown.pages().items() if page.read_text(encoding="utf-8") != text]
    assert drifted == [], "run: python docs/generate.py"


def test_every_flow_of_the_patterns_is_shown_and_tested(results: list[CaseResult]) -> None:
    """Nothing lies there that no page shows, or that no case tells what must come of."""
    shown_files = {file for text in shown.pages().values() for file in shown.names(text)}
    files = {f"flows/{path.name}" for path in (shown.BUS / "flows").glob("*.yaml") if ".test." not in path.name}
    assert files - shown_files == set()
    assert {one.tested for one in results} >= set(load(shown.BUS, discover(), environ={}).flows)
