"""The wheel is the whole product: it makes, checks, tests and runs a bus where no repository is in sight."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tests.architecture.environments import Environment, required
from tests.architecture.places import PACKAGES, ROOT

PATIENCE = 60.0  # seconds; only a bus that does not work takes so long

# `esb` as the command does it, and at the end the names of all modules that were imported.
TELL_IMPORTS = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from esb.cli import main
main()
"""


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel, and with nothing that the wheel does not ask for."""
    return Environment(tmp_path_factory.mktemp("environment") / "venv", wheel)


@pytest.fixture(scope="session")
def shop(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bus directory as ``esb init`` makes it."""
    place = tmp_path_factory.mktemp("somewhere")
    done = environment.run("esb", "init", "shop", cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "shop"


def test_the_bus_comes_from_the_wheel(environment, tmp_path):
    """What is imported lies in the new environment, not in the repository, and no other esb is on the path."""
    ask = "import esb, esb.adapters, sys; print(esb.__file__, esb.adapters.__file__, *sys.path)"
    done = environment.run("python", "-c", ask, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(ROOT) not in done.stdout
    assert environment.variables["HOME"] in done.stdout.split()[0]


def test_the_wheel_holds_every_file_that_is_not_code(wheel):
    """Templates, contracts, lookups, samples and the type marker go with it; tests do not."""
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith(".py")}
    assert {name for name in inside if "dist-info" not in name} == set(_data_in_repository())
    assert "esb/py.typed" in inside


def _data_in_repository() -> list[str]:
    tracked = [file for folder in PACKAGES for file in (ROOT / folder).rglob("*") if file.is_file()]
    data = [file.relative_to(ROOT) for file in tracked if file.suffix != ".py" and "__pycache__" not in file.parts]
    return [str(file) if file.parts[0] == "esb" else f"esb/{file}" for file in data]


def test_the_wheel_asks_for_few_distributions(wheel):
    """At most 45, with what later parts of the bus add."""
    assert len(required(wheel)) <= 45


@pytest.mark.parametrize("command", ["check", "test"])
def test_a_new_bus_is_sound(command, environment, shop):
    """What ``esb init`` makes has no finding, and its test cases pass."""
    done = environment.run("esb", command, cwd=shop)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", ["check", "test"])
def test_the_bus_claims_one_name(command, environment, shop):
    """Nothing called adapters, mappings, migrations or examples is imported beside esb.adapters and the like."""
    done = environment.run("python", "-c", TELL_IMPORTS, command, cwd=shop)
    imported = set(done.stderr.splitlines()[-1].split())
    assert "esb.adapters.file" in imported
    assert not imported & {"adapters", "mappings", "migrations", "examples"}


def test_a_new_bus_runs(environment, shop):
    """A file that is dropped becomes messages and leaves as files; SIGTERM ends the bus, and it says 0."""
    bus = environment.start("esb", "run", cwd=shop)
    try:
        (shop / "inbox").mkdir(exist_ok=True)
        (shop / "inbox" / "orders.csv").write_bytes((shop / "samples" / "orders.csv").read_bytes())
        results = _wait_for_files(shop / "outbox", 2, bus)
        assert all(file.suffix == ".json" for file in results)
        bus.send_signal(signal.SIGTERM)
        assert bus.wait(PATIENCE) == 0
    finally:
        bus.kill()
        bus.communicate()


def _wait_for_files(directory: Path, number: int, bus: subprocess.Popen[str]) -> list[Path]:
    deadline = time.monotonic() + PATIENCE
    while len(found := list(directory.glob("*.json"))) < number:
        assert bus.poll() is None, f"the bus ended: {bus.communicate()[1]}"
        assert time.monotonic() < deadline, f"only {found} in {directory}"
        time.sleep(0.1)
    return found


def test_the_tests_run_from_the_repository():
    """The editable install gives the adapters of this checkout, so that tests test what lies here."""
    ask = "import esb.adapters; print(esb.adapters.__file__)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).parent.resolve() == ROOT / "adapters"
