"""A bus directory that nobody ran yet, one that has run, and processes that end with their test."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from processes import Esb, until

from esb.cli import main
from esb.cli.scaffold import write

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the person at the keyboard has set does not change the tests."""
    for name in ("ESB_BROKER", "ESB_DATABASE", "ESB_DIR", "ESB_ENV", "ESB_TRACEBACK", "ESB_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def esb() -> Run:
    """Run a command in this process."""

    def run(*arguments: object, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments], input=input)

    return run


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A new bus directory."""
    write(tmp_path / "shop")
    return tmp_path / "shop"


@pytest.fixture(scope="session")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bus that has worked off its sample and was stopped: two orders, one row filtered, one parked."""
    place = tmp_path_factory.mktemp("ran") / "shop"
    write(place)
    with Esb("run", "-C", place) as bus:
        bus.wait_for("is running")
        shutil.copy(place / "samples" / "orders.csv", place / "inbox" / "orders.csv")
        until(lambda: len(list(place.glob("archive/*/*.json"))) == 2 and len(list(place.glob("outbox/*.json"))) == 2)
        assert bus.stop(signal.SIGTERM) == 0
    return place


@pytest.fixture
def ran(run_once: Path, tmp_path: Path) -> Path:
    """A copy of it for each test."""
    return Path(shutil.copytree(run_once, tmp_path / "ran"))


@pytest.fixture
def start() -> Iterator[Callable[..., Esb]]:
    """Start a command as a process of its own; it is killed when the test ends."""
    started: list[Esb] = []

    def begin(*arguments: object, **more: object) -> Esb:
        started.append(Esb(*arguments, **more))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
