"""The report's files."""

import csv
import gzip
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import pandas as pd

from data_gen.store.atomic_files import replacing
from offline_rl.artifacts.atomic import write_atomically
from offline_rl.report.contents import Report, Samples
from offline_rl.report.page.render import render
from offline_rl.report.paper_tables import latex, markdown
from offline_rl.report.text import plain
from offline_rl.settings.report import CSV_AND_PAGE, Format

SAMPLES = "samples.csv.gz"
FIRST_FILES: Mapping[Format, str] = {
    "csv": "comparison.csv",
    "html": "index.html",
    "markdown": "tables.md",
    "latex": "tables.tex",
}
"""The file of each format that one opens first, and by which the format is there."""

# The full-width signs begin a formula where an East Asian language is set.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def write_report(folder: Path, report: Report, formats: Iterable[Format] = CSV_AND_PAGE) -> None:
    """Writes the report's files, each whole. Equal contents give equal bytes. Makes the folder.

    csv: the tables as `csv_tables` names them, and every sample in samples.csv.gz; html: the page
    index.html; markdown and latex: tables.md and tables.tex, rounded as for a paper. What is there
    in other formats is written again, so that no two files tell of different results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {*formats, *(one for one, name in FIRST_FILES.items() if (folder / name).exists())}
    if "csv" in wanted:
        for name, table in csv_tables(report).items():
            write_atomically(folder / name, csv_text(table))
        with replacing(folder / SAMPLES) as temporary, temporary.open("wb") as file:
            _write_samples(file, report.results.samples)
    if "html" in wanted:
        write_atomically(folder / FIRST_FILES["html"], render(report))
    if "markdown" in wanted:
        write_atomically(folder / FIRST_FILES["markdown"], markdown(report))
    if "latex" in wanted:
        write_atomically(folder / FIRST_FILES["latex"], latex(report))


def csv_tables(report: Report) -> Mapping[str, pd.DataFrame]:
    """The tables by the names of their files."""
    return {
        "comparison.csv": report.comparison,
        "pairwise.csv": report.pairwise,
        "checks.csv": report.checks,
        "seeds.csv": report.seeds,
        "pass_at_k.csv": report.pass_at_k,
        "performance_profile.csv": report.profile,
        "training.csv": report.training,
        "learning_curves.csv": report.curves,
        "data.csv": report.data,
    }


def csv_text(table: pd.DataFrame) -> str:
    """Header and rows; floats by their shortest exact form, missing values empty."""
    lines = io.StringIO()
    _write_rows(lines, table)
    return lines.getvalue()


def _write_rows(lines: IO[str], table: pd.DataFrame, *, header: bool = True) -> None:
    writer = csv.writer(lines, lineterminator="\n")
    if header:
        writer.writerow(table.columns)
    for row in table.itertuples(index=False, name=None):
        writer.writerow([_cell(value) for value in row])


def _write_samples(file: IO[bytes], samples: Iterable[Samples]) -> None:
    """One evaluation at a time, so that only that one's text is in memory."""
    # Neither name nor time in the header: the same samples give the same bytes.
    with (
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as lines,
    ):
        for number, one in enumerate(samples):
            _write_rows(lines, one.table(), header=number == 0)


def _cell(value: Any) -> Any:
    """A text cell that a spreadsheet would take for a formula gets an apostrophe before it."""
    if not isinstance(value, str):
        return None if pd.isna(value) else value
    text = plain(value)
    # Spreadsheets differ in what white space they skip before a formula.
    if text.lstrip().startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text
