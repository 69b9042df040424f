"""Commands about the files alone: init, check, test, schema, and what all commands share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import Result
from processes import Esb

from esb.cli import COMMANDS
from esb.cli.scaffold import write

Run = Callable[..., Result]
IN_A_BUS = (
    "test", "run", "messages", "trace x", "ledger", "endpoints", "flows", "failed list", "failed show x",
    "failed retry --all", "failed discard --all", "db status", "db upgrade", "db prune", "send x -",
)  # fmt: skip


def test_alone_it_shows_what_there_is(esb: Run) -> None:
    """Without a command comes the list of commands, and exit code 2."""
    result = esb()
    assert result.exit_code == 2
    assert all(name in result.output for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(esb: Run, name: str) -> None:
    """-h says in a sentence what it does."""
    result = esb(name, "-h")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: main {name}")


def test_unknown_command_names_its_neighbour(esb: Run) -> None:
    """A typo is wrong usage; the nearest command is named."""
    result = esb("chekc")
    assert (result.exit_code, "Did you mean 'check'?" in result.stderr) == (2, True)


@pytest.mark.parametrize("line", IN_A_BUS)
def test_outside_a_bus_directory(esb: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """One line names the directory, what is missing and what to do."""
    monkeypatch.chdir(tmp_path)
    result = esb(*line.split(), input="")
    assert result.exit_code == 1
    assert (
        result.stderr == f"error: {tmp_path} has no esb.yaml: `esb init` makes a bus directory, -C DIR names another\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_directory_that_does_not_exist(esb: Run, tmp_path: Path) -> None:
    """Another sentence for another cause."""
    assert f"{tmp_path / 'no'} does not exist" in esb("check", tmp_path / "no").stderr


def test_unexpected_error_is_one_line(esb: Run, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the bus itself is no stack trace either, unless it is asked for."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("esb.config.inspect", broken)
    assert esb("check", shop).stderr.startswith(
        "error: a fault of esb itself: ZeroDivisionError: oops (ESB_TRACEBACK=1"
    )
    monkeypatch.setenv("ESB_TRACEBACK", "1")
    assert isinstance(esb("check", shop).exception, ZeroDivisionError)


def test_file_that_cannot_be_written(esb: Run, tmp_path: Path) -> None:
    """What the system says about a file names the file."""
    (tmp_path / "taken").write_text("")
    result = esb("schema", "-o", tmp_path / "taken" / "below")
    assert (result.exit_code, result.stderr) == (1, f"error: {tmp_path / 'taken' / 'below'}: Not a directory\n")


def test_reader_that_has_gone(tmp_path: Path) -> None:
    """`esb … | head` ends quietly."""
    code = "import sys; from esb.cli import main; sys.stdin.read(); main(['schema', 'flow'])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, said = process.communicate()
    assert said == b""


@pytest.mark.parametrize(("words", "wanted"), [("esb fa", "failed"), ("esb failed re", "retry")])
def test_completion(words: str, wanted: str) -> None:
    """Shell completion finds commands, though none of them has been imported."""
    environment = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_ESB_COMPLETE": "bash_complete"}
    code = "from esb.cli import main; main(prog_name='esb')"
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert result.stdout == f"plain,{wanted}\n"


def test_init_makes_a_bus_that_is_right(esb: Run, tmp_path: Path) -> None:
    """What init writes has no findings, passes its tests, and brings schemas for the editor."""
    assert "esb check && esb test && esb run" in esb("init", tmp_path / "shop").stderr
    assert (tmp_path / "shop" / ".schemas" / "flow.json").exists()
    assert esb("check", "--strict", tmp_path / "shop").exit_code == 0
    assert esb("test", tmp_path / "shop").exit_code == 0


def test_init_overwrites_nothing(esb: Run, shop: Path) -> None:
    """A second init names some files in the way, not all."""
    (shop / "esb.yaml").write_text("bus: mine\n")
    result = esb("init", shop)
    assert result.exit_code == 1
    assert "nothing was written" in result.stderr
    assert "more would be overwritten" in result.stderr
    assert (shop / "esb.yaml").read_text() == "bus: mine\n"


def test_check_says_what_it_checked(esb: Run, shop: Path) -> None:
    """Success is talk, so it stands on stderr; there is no data."""
    result = esb("check", shop)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no findings: 3 endpoints, 2 flows, 1 mapping, 3 contracts\n"


def test_check_points_at_a_typo(esb: Run, shop: Path) -> None:
    """Place, caret and the nearest word, on stdout; the count on stderr."""
    (shop / "flows" / "archive.yaml").write_text("flow: archive\nfrom: order.received/v1\nstep: []\n")
    result = esb("check", shop)
    assert result.exit_code == 1
    assert "flows/archive.yaml:3:1: error [unknown-key]" in result.stdout
    assert "Did you mean 'steps'?" in result.stdout
    assert "    3 | step: []\n      | ^\n" in result.stdout
    assert result.stderr == "1 error, 0 warnings\n"


def test_check_names_a_missing_secret(esb: Run, shop: Path) -> None:
    """The reference is shown, where it stands, and what to set."""
    text = "endpoint: far\nadapter: http\nsettings: {url: http://x.example, auth: {bearer: secret:env:NO_SUCH}}\n"
    (shop / "endpoints" / "far.yaml").write_text(text + "operations: {go: {post: /}}\n")
    result = esb("check", "-C", shop)
    assert "endpoints/far.yaml:3:" in result.stdout
    assert "[missing-secret]" in result.stdout
    assert "NO_SUCH" in result.stdout


def test_check_for_programs(esb: Run, shop: Path, tmp_path: Path) -> None:
    """Findings as JSON with stable keys, also when there is no bus at all."""
    assert json.loads(esb("check", shop, "--json").stdout) == []
    result = esb("check", tmp_path, "--json")
    [finding] = json.loads(result.stdout)
    assert (result.exit_code, finding["kind"]) == (1, "missing-file")
    assert {"file", "line", "column", "kind", "level", "text"} <= finding.keys()


def test_failing_case_shows_expected_and_found(esb: Run, shop: Path) -> None:
    """The case is named with its line, the difference with its field; exit code 1."""
    file = shop / "mappings" / "row-to-order.test.yaml"
    file.write_text(file.read_text().replace("O-1001", "O-9"))
    result = esb("test", "-C", shop)
    assert result.exit_code == 1
    assert "FAILED  mappings/row-to-order.test.yaml:" in result.stdout
    assert "O-9" in result.stdout
    assert "failed in" in result.stderr


def test_passing_cases_are_named_when_asked(esb: Run, shop: Path) -> None:
    """Quiet by default, -v lists them, -k picks some."""
    assert esb("test", shop).stdout == ""
    lines = esb("test", shop, "-v").stdout.splitlines()
    picked = esb("test", shop, "-v", "-k", "archive").stdout.splitlines()
    assert all(line.startswith("passed  ") for line in lines)
    assert 0 < len(picked) < len(lines)


def test_no_cases_is_a_failure(esb: Run, shop: Path) -> None:
    """A pipeline that tests nothing must not be green."""
    result = esb("test", shop, "-k", "nothing like it")
    assert (result.exit_code, "no cases" in result.stderr) == (1, True)


def test_cases_for_programs(esb: Run, shop: Path, tmp_path: Path) -> None:
    """JSON with one entry a case, and a JUnit report."""
    cases = json.loads(esb("test", shop, "--json", "--junit", tmp_path / "report.xml").stdout)
    assert {"file", "line", "kind", "tested", "name", "problems"} <= cases[0].keys()
    report = ElementTree.parse(tmp_path / "report.xml").getroot()
    assert [suite.get("name") for suite in report] == list(dict.fromkeys(case["file"] for case in cases))
    assert sum(int(suite.get("tests", 0)) for suite in report) == len(cases)
    assert {suite.get("failures") for suite in report} == {"0"}


def test_a_report_says_what_was_otherwise(esb: Run, shop: Path, tmp_path: Path) -> None:
    """In the one line that a pipeline shows of a failure, too."""
    cases = shop / "flows" / "orders.test.yaml"
    cases.write_text(cases.read_text().replace("total: 15.9}", "total: 15.8}"))
    assert esb("test", shop, "-k", "an order goes on", "--junit", tmp_path / "report.xml").exit_code == 1
    (failure,) = ElementTree.parse(tmp_path / "report.xml").getroot().iter("failure")
    assert failure.get("message") == "send orders-out.order: /total: expected 15.8, got 15.9"


def test_coverage_names_what_no_case_came_by(esb: Run, shop: Path) -> None:
    """For people with file and line below the counts, for programs as JSON."""
    (shop / "flows" / "archive.test.yaml").unlink()
    result = esb("test", shop, "--coverage")
    assert result.exit_code == 0
    assert "flows/archive.yaml          steps 0/1\n    flows/archive.yaml:7  step send:archive.keep\n" in result.stdout
    report = json.loads(esb("test", shop, "--coverage", "--json").stdout)
    files = {one["file"]: one for one in report["coverage"]}
    assert files["flows/orders.yaml"]["steps"] == {"taken": 4, "all": 4}
    assert files["flows/archive.yaml"]["missed"] == [
        {"where": "flows/archive.yaml:7", "sort": "step", "name": "send:archive.keep"}
    ]
    assert report["cases"]


def test_cases_run_on_another_broker(esb: Run, shop: Path) -> None:
    """The embedded one, in a directory of its own; what is none is said."""
    assert esb("test", shop, "--broker", "embedded").exit_code == 0
    result = esb("test", shop, "--broker", "kafka://there")
    assert (result.exit_code, "embedded, amqp://" in result.stderr) == (1, True)


def test_cases_run_again_when_a_file_changes(start: Callable[..., Esb], shop: Path) -> None:
    """Until they are told to stop; findings end nothing."""
    watching = start("test", shop, "--watch")
    watching.wait_for("passed, 0 failed")
    mapping = shop / "mappings" / "row-to-order.yaml"
    text = mapping.read_text()
    mapping.write_text(text.replace('"O-" &', '"P-" &'))
    watching.wait_for("mappings/row-to-order.yaml changed")
    watching.wait_for("FAILED")
    mapping.write_text(text.replace('"O-" &', '"O-" &&'))
    watching.wait_for("the configuration has findings")
    mapping.write_text(text)
    watching.wait_for("passed, 0 failed", times=2)
    assert watching.stop() != 0


def test_schemas(esb: Run, tmp_path: Path) -> None:
    """All kinds listed, one printed as JSON, all written; a typo gets exit code 3 and the nearest kind."""
    kinds = esb("schema").stdout.split()
    assert "endpoint" in kinds
    assert json.loads(esb("schema", "flow").stdout)["type"] == "object"
    assert esb("schema", "-o", tmp_path).exit_code == 0
    assert {path.stem for path in tmp_path.glob("*.json")} == set(kinds)
    result = esb("schema", "flwo")
    assert (result.exit_code, "did you mean 'flow'?" in result.stderr) == (3, True)


def test_nothing_is_coloured_in_a_pipe(tmp_path: Path) -> None:
    """A program that reads our output gets no escape sequences."""
    write(tmp_path)
    (tmp_path / "esb.yaml").write_text("buss: x\n")
    command = [sys.executable, "-m", "esb.cli", "check", "-C", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, check=False)
    assert result.returncode == 1
    assert b"\x1b" not in result.stdout + result.stderr
