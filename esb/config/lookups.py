"""Lookups: CSV code lists, the key in the first column."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from esb.config.findings import Report
from esb.config.tree import Place


def load_lookups(files: Mapping[str, str], report: Report) -> dict[str, dict[str, Any]]:
    """Every code list by its file name: key -> the second column, or the row where there are more columns.

    The first row names the columns; comma or semicolon, whichever the first row has.

    Args:
        files: name -> text.
        report: takes a finding for each row that does not fit.
    """
    return {file: _table(file, text, report) for file, text in files.items()}


def _table(file: str, text: str, report: Report) -> dict[str, Any]:
    delimiter = ";" if ";" in text.split("\n", 1)[0] else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    table: dict[str, Any] = {}
    columns: list[str] = []
    for line, row in _rows(reader, file, report):
        if not columns:
            columns = row
            if len(columns) < 2:
                report.add(Place(file, line), "bad-lookup", "A lookup has at least two columns: the key and its value.")
                return {}
        elif len(row) != len(columns):
            text = f"This row has {len(row)} columns where the first row has {len(columns)}."
            report.add(Place(file, line), "bad-lookup", text)
        elif row[0] in table:
            report.add(
                Place(file, line), "bad-lookup", f"The key {row[0]!r} stands here again; keep one.", value=row[0]
            )
        else:
            table[row[0]] = row[1] if len(columns) == 2 else dict(zip(columns, row, strict=True))
    if not columns:
        report.add(Place(file), "bad-lookup", "This lookup is empty: its first row names the columns.")
    return table


def _rows(reader: Any, file: str, report: Report) -> Iterator[tuple[int, list[str]]]:
    """The rows with the line that each begins at; empty ones are left out."""
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        report.add(Place(file, line), "bad-lookup", f"This is not CSV: {error}.")
