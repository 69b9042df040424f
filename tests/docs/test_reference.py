"""The reference is made from the code, and says something about everything there is."""

from __future__ import annotations

import re
from typing import Any, get_args

import click
import generate
import keys
import mistakes
import pytest
from pages import DOCS, GUIDE, ROOT, headings

from esb.cases.models import FlowCases, MappingCases, SagaCases
from esb.cli import main
from esb.config import models
from esb.config.findings import Kind
from esb.discovery import discover

REFERENCE = DOCS / "reference"
COMPONENTS = discover()
MODELS: list[tuple[str, Any]] = [
    *((m.__name__, m) for m in (models.BusConfig, models.Endpoint, models.Receive, models.Operation)),
    *((m.__name__, m) for m in (models.Flow, models.Saga, models.Mapping, models.InlineMapping)),
    *((m.__name__, m) for m in (FlowCases, MappingCases, SagaCases)),
    *((f"{name} {part}", getattr(kind, part)) for name, kind in COMPONENTS.adapters.items()
      for part in ("Settings", "Operation", "Receive")),
    *((name, kind.Settings) for name, kind in (*COMPONENTS.formats.items(), *COMPONENTS.steps.items())),
]  # fmt: skip


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """The pages as the code gives them now."""
    return generate.pages()


@pytest.mark.parametrize("name", generate.PAGES)
def test_page_is_what_the_code_gives(made: dict[str, str], name: str) -> None:
    """A setting that changes without `python docs/generate.py` is noticed."""
    assert (REFERENCE / name).read_text(encoding="utf-8") == made[name], "run: python docs/generate.py"


def test_no_page_is_left_over() -> None:
    """A page that nobody makes any more is gone."""
    assert sorted(path.name for path in REFERENCE.iterdir()) == sorted(generate.PAGES)


@pytest.mark.parametrize(("name", "model"), MODELS, ids=[name for name, _ in MODELS])
def test_every_setting_says_what_it_is_for(name: str, model: Any) -> None:
    """A key without a description would be a riddle in the reference and in editors."""
    assert [key for key, _, _, about in keys.rows(model) if not about] == []


def test_every_option_of_every_command_has_help() -> None:
    """`--help` leaves no option unexplained."""
    silent = [
        f"{' '.join(path)} {option.opts[0]}"
        for path in generate.commands()
        for option in _command(path).params
        if isinstance(option, click.Option) and not option.help
    ]
    assert silent == []


def test_every_kind_of_finding_has_one_example() -> None:
    """The list of kinds is closed, and so is the page."""
    assert [mistake.kind for mistake in mistakes.ALL] == list(get_args(Kind))


@pytest.mark.parametrize("mistake", mistakes.ALL, ids=lambda mistake: mistake.kind)
def test_mistake_gives_just_its_finding(mistake: mistakes.Mistake) -> None:
    """One mistake, one finding, of the kind it stands under."""
    assert re.findall(r"(?:error|warning) \[([a-z-]+)\]", mistake.output()) == [mistake.kind]


def test_every_kind_of_error_is_listed_once() -> None:
    """Failures are grouped by their kind: two that share one would be one in every list."""
    kinds = [kind.kind for kind in generate.error_kinds()]
    assert len(kinds) == len(set(kinds))


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("flows.md", COMPONENTS.steps),
        ("formats.md", COMPONENTS.formats),
        ("endpoints.md", COMPONENTS.adapters),
    ],
)
def test_guide_explains_each(page: str, names: Any) -> None:
    """Each step, format and adapter has a heading of its own in the guide."""
    assert set(names) <= set(headings(GUIDE / page))


def test_guide_shows_every_command() -> None:
    """Each command is used somewhere in the guide."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in GUIDE.glob("*.md"))
    commands = [" ".join(["esb", *path]) for path in generate.commands() if not isinstance(_command(path), click.Group)]
    assert [command for command in commands if not re.search(rf"{command}\b", text)] == []


def test_every_environment_variable_is_documented() -> None:
    """What the program reads from the environment stands in the guide."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "esb").rglob("*.py"))
    used = set(re.findall(r"\"(ESB_[A-Z_]+)\"", sources)) - {"ESB_READY_FD"}  # between supervisor and roles
    text = (GUIDE / "configuration.md").read_text(encoding="utf-8")
    assert {name for name in used if name not in text} == set()


def _command(path: tuple[str, ...]) -> click.Command:
    command: Any = main
    for word in path:
        command = command.get_command(click.Context(command), word)
    assert isinstance(command, click.Command)
    return command
