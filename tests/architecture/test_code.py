"""The code stays readable: small modules, small functions, and a docstring on each public name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.places import PACKAGES, ROOT, modules

LONGEST_MODULE = 400  # lines
LONGEST_FUNCTION = 50  # lines, its docstring among them
# In pieces, so that a search for what is unfinished does not find this.
UNFINISHED = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error")))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_modules_are_small():
    """Nobody has to scroll through more than 400 lines."""
    assert [place(file) for file in modules(*PACKAGES) if len(text(file).splitlines()) > LONGEST_MODULE] == []


def test_functions_are_small():
    """Each fits on a screen."""
    assert [spot for spot, one in functions(*PACKAGES) if length(one) > LONGEST_FUNCTION] == []


def test_nothing_is_unfinished():
    """No note about what is still to be done, and nothing that says at run time that it is missing."""
    assert [place(file) for file in modules(*PACKAGES, "tests") if UNFINISHED.search(text(file))] == []


def test_every_module_says_what_it_is_for():
    """Its first sentence tells whether this is the right place."""
    assert [place(file) for file in modules(*PACKAGES) if not ast.get_docstring(parsed(file))] == []


def test_every_public_name_says_what_it_is_for():
    """A class or function that others may use has a docstring."""
    found = [(file, one) for file in modules(*PACKAGES) for one in parsed(file).body if is_public(one)]
    assert [f"{place(file)}:{one.lineno} {one.name}" for file, one in found if not ast.get_docstring(one)] == []


def test_nothing_is_a_thread_or_a_process():
    """It has one: a private name of ours that a version of Python uses, too, is overwritten (``_handle`` in 3.13)."""
    classes = [
        (file, one) for file in modules(*PACKAGES) for one in ast.walk(parsed(file)) if isinstance(one, ast.ClassDef)
    ]
    bases = [
        (f"{place(file)}:{one.lineno} {one.name}", ast.unparse(base)) for file, one in classes for base in one.bases
    ]
    assert [spot for spot, base in bases if base.rpartition(".")[2] in ("Thread", "Timer", "Process")] == []


def text(file: Path) -> str:
    """What stands in it."""
    return file.read_text(encoding="utf-8")


def place(file: Path) -> str:
    """Its name in the repository."""
    return str(file.relative_to(ROOT))


def parsed(file: Path) -> ast.Module:
    """Its syntax tree."""
    return ast.parse(text(file))


def functions(*folders: str) -> Iterator[tuple[str, Function]]:
    """Every function and method, nested ones too, with where it stands."""
    for file in modules(*folders):
        for one in ast.walk(parsed(file)):
            if isinstance(one, Function):
                yield f"{place(file)}:{one.lineno} {one.name}", one


def length(one: ast.stmt) -> int:
    """Lines from ``def`` to the end of its last statement."""
    return (one.end_lineno or one.lineno) - one.lineno + 1


def is_public(one: ast.stmt) -> bool:
    """Is it a class or function for others?"""
    return isinstance(one, Function | ast.ClassDef) and not one.name.startswith("_")
