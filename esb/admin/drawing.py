"""Pictures as SVG, by a template: inline on a page, or as a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import jinja2

from esb.admin.live import Numbers
from esb.admin.picture import Picture

LETTER = 7.9  # width of an average letter at the size that boxes use, in the picture's units
_NONE: Mapping[str, Numbers] = MappingProxyType({})

# The colours of the light pages; a viewer that prefers dark gets those of the dark ones.
STYLE = """
svg { --surface: #fff; --sunk: #eff1f2; --line: #b9c2c6; --ink: #182024; --ink-2: #4b585e; --accent: #0d6470;
  --accent-soft: #e0f0f2; --info: #1f5a9e; --info-soft: #e5eefa; --bad: #b3261e; --warn: #8a5300; }
@media (prefers-color-scheme: dark) { svg { --surface: #171d20; --sunk: #1e2629; --line: #45535a; --ink: #e6ecee;
  --ink-2: #aebbc0; --accent: #6cc5d1; --accent-soft: #12343a; --info: #93bff5; --info-soft: #16293f; --bad: #ff9d94;
  --warn: #f0bd63; } }
text { font: 13px system-ui, sans-serif; fill: var(--ink); } .word, .frame text { font-size: 11px; fill: var(--ink-2); }
.name { font-weight: 600; } .numbers { font-size: 12px; text-anchor: end; } .failed { fill: var(--bad); }
.waiting { fill: var(--warn); } .box rect { fill: var(--surface); stroke: var(--line); }
.endpoint rect, .schedule rect { fill: var(--accent-soft); stroke: var(--accent); }
.event rect { fill: var(--info-soft); stroke: var(--info); } .way rect, .end rect { fill: var(--sunk); }
.trouble rect { stroke: var(--bad); stroke-width: 2; }
.frame rect { fill: none; stroke: var(--line); stroke-dasharray: 5 4; }
.arrow { fill: none; stroke: var(--ink-2); stroke-width: 1.4; } .arrow.event { stroke-dasharray: 5 4; }
.tip path { fill: var(--ink-2); }
"""


def fit(text: str, width: float) -> str:
    """The text, cut to what fits into a width."""
    letters = max(int(width / LETTER), 3)
    return text if len(text) <= letters else text[: letters - 1] + "…"


def count(number: float) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{number:,.0f}".replace(",", "\u202f")


def svg_file(picture: Picture, numbers: Mapping[str, Numbers] = _NONE) -> str:
    """A file that any viewer opens, light or dark."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"fit": fit, "count": count}
    drawn = environment.get_template("picture.html").module.svg(picture, numbers, style=STYLE)  # type: ignore[attr-defined]
    return str(drawn).strip() + "\n"
