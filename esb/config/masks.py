"""What contracts hide: each ``x-mask`` leads to a field that there is, and to none that is shown for another reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from esb.config.fields import Missing, view_of
from esb.config.findings import Report, nearest
from esb.config.tree import Spot
from esb.expression_paths import paths
from esb.masking import HEADERS, KEYWORD, Path, declared, path_of


def check_masks(ref: str, schemas: Mapping[str, Any], spot: Spot, report: Report) -> None:
    """The masks of one contract that is usable otherwise.

    Args:
        ref: its name.
        schemas: all contracts.
        spot: its file, for places.
        report: takes a finding for each path that leads nowhere, and for a business key that would show what is hidden.
    """
    hidden: list[Path] = []
    for number, text in enumerate(declared(schemas[ref])):
        if not text.startswith(HEADERS):
            hidden.append(path_of(text))
            _check_path(text, hidden[-1], ref, schemas, spot.at(KEYWORD, number), report)
    subject = schemas[ref].get("x-subject")
    shown = [use.path for use in paths(subject)] if isinstance(subject, str) else []
    for path in hidden:
        if any(_meet(path, other) for other in shown):
            text = f"The business key is shown and searched for, and {'.'.join(path)} is hidden: use another field."
            report.at(spot.at("x-subject"), "bad-contract", text)


def _check_path(text: str, path: Path, ref: str, schemas: Mapping[str, Any], spot: Spot, report: Report) -> None:
    view = view_of(ref, schemas)
    found = view.find(path) if view else None
    if isinstance(found, Missing):
        name = path[found.index]
        said = f"Contract {ref} has no field {name!r} for the mask {text}, so nothing would be hidden."
        report.at(spot, "unknown-path", said, hint=nearest(name, found.known))


def _meet(one: Path, other: tuple[str, ...]) -> bool:
    """Whether one lies within the other."""
    return bool(other) and one[: len(other)] == other[: len(one)]
