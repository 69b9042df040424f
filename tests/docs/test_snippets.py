"""The files that the guide shows are a bus without mistakes, and their test cases pass."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from pages import GUIDE, all_pages, anchor, blocks, files, headings, links

from esb.cases.run import run_cases
from esb.cli.scaffold import write
from esb.config import inspect
from esb.discovery import discover
from esb.flow import build_parts

PAGES = sorted(page.name for page in GUIDE.glob("*.md"))
BUS = re.compile(r"(esb(\.\w+)?\.yaml|(endpoints|flows|sagas|mappings|contracts|lookups|samples|secrets)/.+)")
HARMLESS = {"unused", "unreachable-flow"}  # warnings: a page shows one part, not what refers to it


def shown(page: Path) -> dict[str, str]:
    """The files of a bus directory that a page shows."""
    return {name: text for name, text in files(page).items() if BUS.fullmatch(name)}


def environment(page: Path) -> dict[str, str]:
    """What the page says to export."""
    text = "\n".join(block.text for block in blocks(page) if block.language == "sh")
    return dict(re.findall(r"^export (\w+)=(\S+)$", text, re.MULTILINE))


def bus(page: Path, root: Path) -> dict[str, str]:
    """The page's directory: its files on top of what `esb init` makes; with an esb.yaml of its own, nothing else."""
    found = shown(page)
    if "esb.yaml" not in found:
        write(root)
    for name, text in found.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return found


@pytest.mark.parametrize("name", [name for name in PAGES if shown(GUIDE / name)])
def test_files_of_a_page_are_a_bus_without_findings(name: str, tmp_path: Path) -> None:
    """What is shown can be copied: it loads, in each environment that the page shows, and its cases pass."""
    found = bus(GUIDE / name, tmp_path)
    environ = environment(GUIDE / name)
    overlays = [match[1] for file in found if (match := re.fullmatch(r"esb\.(\w+)\.yaml", file))]
    for env in (None, *overlays):
        checked = inspect(tmp_path, discover(), env, environ)
        assert [str(f) for f in checked.findings if f.kind not in HARMLESS or f.level == "error"] == []
    definition = checked.definition
    assert definition is not None
    results = run_cases(definition, build_parts(definition))
    assert {f"{r.file} {r.name}": r.problems for r in results if not r.passed} == {}


def test_documents_of_the_guide_are_json() -> None:
    """Every JSON block can be read."""
    for page in GUIDE.glob("*.md"):
        for block in blocks(page):
            if block.language == "json":
                msgspec.json.decode(block.text)


@pytest.mark.parametrize("page", all_pages(), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link within the documentation has a file at its end, and a heading where it names one."""
    for target in links(page):
        file, _, heading = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        if heading and path.suffix == ".md":
            assert heading in {anchor(one) for one in headings(path)}, target
