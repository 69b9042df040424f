"""What setup.cfg says about the packages is what there is."""

from __future__ import annotations

import re
import subprocess
from configparser import ConfigParser

import pytest

from tests.architecture.places import PACKAGES, ROOT, modules

# Paths that exist on one machine only. Put together here, so that this file does not find itself.
MACHINE_PATH = re.compile(r"/(?:" + "|".join(("home", "Users", "root", "work")) + r")/[a-z]")


def tracked() -> list[str]:
    """The files that git knows, below the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def setup() -> ConfigParser:
    """setup.cfg, read."""
    found = ConfigParser()
    found.read(ROOT / "setup.cfg")
    return found


def test_every_package_is_named():
    """A directory with code is listed, and what is listed exists; forgotten, it would be missing in the wheel only."""
    folders = {file.parent.relative_to(ROOT) for file in modules(*PACKAGES)}
    names = {".".join(("esb", *folder.parts) if folder.parts[0] != "esb" else folder.parts) for folder in folders}
    assert names == set(setup()["options"]["packages"].split())


def test_every_package_says_what_it_is():
    """A directory with code has an ``__init__.py``; without one its modules would be left out of the wheel."""
    folders = {file.parent for file in modules(*PACKAGES)}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_every_requirement_has_a_tested_version():
    """What setup.cfg asks for is pinned in constraints.txt, so that today's install is tomorrow's."""
    options, extras = setup()["options"], setup()["options.extras_require"]
    wanted = options["install_requires"].split() + [word for extra in extras.values() for word in extra.split()]
    pinned = {_plain(line) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {_plain(word) for word in wanted} <= pinned


def _plain(requirement: str) -> str:
    name = re.split(r"[\[=<>]", requirement)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_file_knows_one_machine():
    """No tracked text holds an absolute path of somebody's machine."""
    found = [name for name in tracked() if MACHINE_PATH.search(_text(name))]
    assert found == []


def _text(name: str) -> str:
    return (ROOT / name).read_bytes().decode("utf-8", "replace")
