"""Tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import Rounds, Verdict, between, median, spread
from bench.plan import Column, Plan, Side


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text in columns: the first to the left, all others to the right."""
    widths = [max(len(row[index]) for row in (heads, *rows)) for index in range(len(heads))]
    lines = [_line(heads, widths), _line(["-" * width for width in widths], widths)]
    return "\n".join([*lines, *(_line(row, widths) for row in rows)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]).rstrip()


def readings(plan: Plan, rounds: Rounds) -> str:
    """The medians of a benchmark, and how its sides compare."""
    heads = ["", *(head for column in plan.columns for head in _heads(column))]
    heads += [plan.compared or f"of {plan.title(plan.yardstick)}", f"{plan.title(plan.ours)} is"]
    return table(heads, [_row(plan, rounds, side) for side in plan.sides])


def verdicts(found: Sequence[Verdict]) -> str:
    """What is promised, and what was measured."""
    rows = [[v.text, f"{v.measured:,.2f}", f"{v.aim:,.2f}", "holds" if v.holds else "does not hold"] for v in found]
    return table(["promised", "measured", "aim", ""], rows)


def _heads(column: Column) -> list[str]:
    return [column.title, "from .. to"] if column.spread else [column.title]


def _row(plan: Plan, rounds: Rounds, side: Side) -> list[str]:
    cells = [cell for column in plan.columns for cell in _cells(column, rounds, side.name)]
    compared = (
        between(rounds, side.name, plan.against(side), plan.compare),
        between(rounds, plan.ours, side.name, plan.compare),
    )
    return [side.title, *cells, *("-" if value is None else f"{value:.2f} x" for value in compared)]


def _cells(column: Column, rounds: Rounds, name: str) -> list[str]:
    value, ends = median(rounds[name], column.key), spread(rounds[name], column.key)
    cells = ["-" if value is None else format(value, column.format)]
    if column.spread:
        cells.append("-" if ends is None else f"{ends[0]:{column.format}} .. {ends[1]:{column.format}}")
    return cells
