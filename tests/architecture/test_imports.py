"""Imports run one way, and each third party has its place: the rules in setup.cfg, on the installed wheel."""

from __future__ import annotations

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
    return subprocess.run(command, cwd=installed, capture_output=True, text=True)


def test_imports_run_one_way(installed):
    """No module of the wheel imports what lies above it or what has its place elsewhere."""
    done = lint(installed)
    assert done.returncode == 0, done.stdout


def test_every_rule_has_a_violation_that_proves_it():
    """A rule that is added to setup.cfg has to be seen failing here."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert {name.removeprefix(SECTION) for name in setup.sections() if name.startswith(SECTION)} == set(VIOLATIONS)


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_violation_is_found(rule, installed, tmp_path):
    """One forbidden import in a copy of the wheel breaks its rule, and the report names both modules."""
    shutil.copytree(installed / "esb", tmp_path / "esb")
    module, line = VIOLATIONS[rule]
    with (tmp_path / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    done = lint(tmp_path, "--contract", rule)
    assert done.returncode == 1, done.stdout
    assert "1 broken" in done.stdout
    assert module.removesuffix(".py").replace("/", ".") in done.stdout


def test_a_new_package_needs_its_layer(installed, tmp_path):
    """A module at the top of esb that no layer names is refused."""
    shutil.copytree(installed / "esb", tmp_path / "esb")
    (tmp_path / "esb" / "novelty.py").touch()
    done = lint(tmp_path, "--contract", "layers")
    assert done.returncode == 1
    assert "novelty" in done.stdout
