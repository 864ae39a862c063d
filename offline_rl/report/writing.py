"""The report's files."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pandas as pd

from offline_rl.files import write_atomically
from offline_rl.report.contents import Report
from offline_rl.report.page import render
from offline_rl.report.text import plain

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def write_report(folder: Path, report: Report) -> None:
    """Writes comparison.csv, pairwise.csv, training.csv, data.csv and index.html, each whole.

    Equal contents give equal bytes. Makes the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "comparison.csv": report.comparison,
        "pairwise.csv": report.pairwise,
        "training.csv": report.training,
        "data.csv": report.data,
    }
    for name, table in tables.items():
        write_atomically(folder / name, csv_text(table))
    write_atomically(folder / "index.html", render(report))


def csv_text(table: pd.DataFrame) -> str:
    """Header and rows; floats by their shortest exact form, missing values empty."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.itertuples(index=False, name=None):
        writer.writerow([_cell(value) for value in row])
    return lines.getvalue()


def _cell(value: Any) -> Any:
    """A text cell that a spreadsheet would take for a formula gets an apostrophe before it."""
    if not isinstance(value, str):
        return None if pd.isna(value) else value
    text = plain(value)
    if (value.startswith(_FORMULA) or text.startswith(_FORMULA)) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text
