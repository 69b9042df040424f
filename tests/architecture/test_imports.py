"""Imports run one way, and each third party has its place: the rules in setup.cfg, on the installed wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.architecture.places import ROOT

SECTION = "importlinter:contract:"

# For each rule, a module and a line that breaks it.
VIOLATIONS = {
    "layers": ("esb/message.py", "import esb.ports"),
    "core": ("esb/flow/run.py", "import esb.adapters.file"),
    "adapters": ("esb/adapters/memory.py", "from esb.worker import context"),
    "each-adapter": ("esb/adapters/memory.py", "from esb.adapters.file import paths"),
    "quick": ("esb/discovery.py", "import structlog"),
    "migrations": ("esb/cli/db.py", "from esb import migrations"),
    "migrations-know": ("esb/migrations/env.py", "import esb.broker"),
    "broker-client": ("esb/broker/port.py", "import kombu"),
    "database": ("esb/worker/flow.py", "import sqlalchemy.exc"),
    "encryption": ("esb/worker/rows.py", "import cryptography"),
    "postgresql-driver": ("esb/bus.py", "import psycopg"),
    "mariadb-driver": ("esb/store/failures.py", "import pymysql"),
    "web": ("esb/worker/ingress.py", "from starlette.responses import Response"),
    "command-line": ("esb/config/load.py", "import click"),
    "expression-engines": ("esb/mapping.py", "import jsonatapy"),
    "schema-engine": ("esb/config/contracts.py", "import jsonschema_rs"),
    "xml": ("esb/worker/ingress.py", "from lxml import etree"),
    "yaml": ("esb/cases/files.py", "import yaml"),
    "test-tools": ("esb/cases/run.py", "import pytest"),
    "admin-framework": ("esb/gateway/serve.py", "import flask"),
    "jobs-framework": ("esb/worker/sweeper.py", "import celery"),
}


def lint(installed: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Check the rules on a directory that holds the installed ``esb``."""
    tool = str(Path(sys.executable).with_name("lint-imports"))
    command = [tool, "--config", str(ROOT / "setup.cfg"), "--no-cache", "--no-logo", *options]
    wide = {**os.environ, "COLUMNS": "1000"}  # no title of a rule is broken into lines
    return subprocess.run(command, cwd=installed, env=wide, capture_output=True, text=True)


def test_imports_run_one_way(installed):
    """No module of the wheel imports what lies above it or what has its place elsewhere."""
    done = lint(installed)
    assert done.returncode == 0, done.stdout


def test_every_rule_has_a_violation_that_proves_it():
    """A rule that is added to setup.cfg has to be seen failing here."""
    assert {name.removeprefix(SECTION) for name in _setup().sections() if name.startswith(SECTION)} == set(VIOLATIONS)


def _setup() -> ConfigParser:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup


@pytest.fixture(scope="session")
def reports(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is said of each rule, by its name, of a copy of the wheel in which every rule is broken at its place."""
    copied = tmp_path_factory.mktemp("violations")
    shutil.copytree(installed / "esb", copied / "esb")
    for module, line in VIOLATIONS.values():
        with (copied / module).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    said = lint(copied).stdout.partition("Broken contracts\n")[2]
    by_title = dict(re.findall(r"^(\S[^\n]+)\n-+\n(.+?)(?=^\S[^\n]+\n---|\Z)", said, re.M | re.S))
    return {rule: by_title.get(_setup()[SECTION + rule]["name"], "not broken") for rule in VIOLATIONS}


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_violation_is_found(rule, reports):
    """One forbidden import breaks its rule, and the report names the module with its line."""
    importer = VIOLATIONS[rule][0].removesuffix(".py").replace("/", ".")
    assert re.search(rf"^- +{re.escape(importer)} -> \S+ \(l\.\d+\)", reports[rule], re.M)


def test_a_new_package_needs_its_layer(installed, tmp_path):
    """A module at the top of esb that no layer names is refused."""
    shutil.copytree(installed / "esb", tmp_path / "esb")
    (tmp_path / "esb" / "novelty.py").touch()
    done = lint(tmp_path, "--contract", "layers")
    assert done.returncode == 1
    assert "novelty" in done.stdout
