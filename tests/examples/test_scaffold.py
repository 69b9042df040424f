from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest

from esb.cases.run import run_cases
from esb.cli import scaffold
from esb.config import check, load
from esb.discovery import discover
from esb.errors import ContractError, EsbError
from esb.flow import build_parts, compile_flow
from esb.message import create


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    scaffold.write(tmp_path / "shop")
    return tmp_path / "shop"


def test_a_new_bus_has_no_findings(directory: Path) -> None:
    """Neither errors nor warnings, without any environment."""
    assert check(directory, discover(), environ={}) == ()


def test_its_test_cases_pass(directory: Path) -> None:
    """The mapping and both flows have cases beside them, and they hold."""
    definition = load(directory, discover(), environ={})
    results = list(run_cases(definition, build_parts(definition)))
    assert [result for result in results if not result.passed] == []
    assert {result.tested for result in results} == {*definition.flows, *definition.mappings}


def test_its_sample_shows_every_fate(directory: Path) -> None:
    """Of the four rows two become orders, one is filtered, one breaks its contract, as the README says."""
    definition = load(directory, discover(), environ={})
    parts = build_parts(definition)
    flow = compile_flow(definition.flows["orders"], definition, parts)
    endpoint = definition.endpoints["orders-in"]
    csv = discover().formats["csv"](endpoint.format_settings)
    records = csv.read(io.BytesIO((directory / "samples" / "orders.csv").read_bytes()))
    results = [
        flow.run(create(msgspec.json.encode(record.document), type="order.row", version=1, source="orders-in"))
        for record in records
    ]
    assert [result.status for result in results] == ["completed", "completed", "filtered", "failed"]
    assert isinstance(results[3].error, ContractError)
    archive = compile_flow(definition.flows["archive"], definition, parts)
    assert [len(archive.run(event.message).sends) for result in results for event in result.events] == [1, 1]


def test_what_is_written_is_told(tmp_path: Path) -> None:
    """The names are those of the files, and secrets and data stay out of Git from the first commit on."""
    names = scaffold.write(tmp_path / "shop")
    found = [path.relative_to(tmp_path / "shop").as_posix() for path in (tmp_path / "shop").rglob("*")]
    assert names == sorted(name for name in found if (tmp_path / "shop" / name).is_file())
    assert {"esb.yaml", ".gitignore", "README.md", "samples/orders.csv"} <= set(names)


def test_an_existing_directory_may_be_used(tmp_path: Path) -> None:
    """A fresh clone with nothing but a licence becomes a bus."""
    (tmp_path / "LICENSE").write_text("mine")
    scaffold.write(tmp_path)
    assert (tmp_path / "LICENSE").read_text() == "mine"
    assert (tmp_path / "esb.yaml").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """One file in the way, and not a single one is written."""
    (tmp_path / "esb.yaml").write_text("bus: mine\n")
    with pytest.raises(EsbError, match=r"esb\.yaml"):
        scaffold.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["esb.yaml"]
