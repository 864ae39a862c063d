"""The report in a terminal."""

import sys
from collections.abc import Iterator, Sequence
from typing import Literal

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from offline_rl.report.contents import Report, rows_of
from offline_rl.report.summary import verdict
from offline_rl.report.text import accuracies, interval, one_line, p_value, signed

_LONGEST_NAME = 20
_LONGEST_NOTE = 1000


def print_report(report: Report, console: Console) -> None:
    """The verdict, accuracy by label and benchmark, the tested pairs, failures and notes.

    Fits 80 columns. With several base models each has tables of its own.
    """
    for sentence in verdict(report):
        console.print(Text(sentence))
    models = list(report.comparison["model"].unique())
    for model in models:
        of = f" of {one_line(model, _LONGEST_NAME)}" if len(models) > 1 else ""
        rows = report.comparison[report.comparison["model"] == model]
        for table in _accuracy(rows, of, console):
            console.print(table)
        pairs = report.pairwise[report.pairwise["model"] == model]
        tested = pairs[pairs["family"] != "exploratory"]
        if not tested.empty:
            console.print(_pairs(tested, of))
    for name, reason in report.failures.items():
        console.print(Text(f"failed: {one_line(name)}: {one_line(reason)}", style="red"))
    for note in report.notes:
        console.print(Text(f"note: {one_line(note.text, _LONGEST_NOTE)}", style="yellow"))


def _accuracy(comparison: pd.DataFrame, of: str, console: Console) -> Iterator[Table]:
    """All benchmarks, in as many tables as it takes for none to be wider than the console."""
    waiting = list(comparison["benchmark"].unique())
    while waiting:
        abreast = len(waiting)
        table = _benchmarks(comparison, waiting, of)
        while abreast > 1 and _width(table, console) > console.width:
            abreast -= 1
            table = _benchmarks(comparison, waiting[:abreast], of)
        del waiting[:abreast]
        yield table


def _benchmarks(comparison: pd.DataFrame, benchmarks: Sequence[str], of: str) -> Table:
    cells = accuracies(comparison)
    table = _table(f"avg@k in %{of}, with the half-width of its 95% interval")
    _add_column(table, "label", max_width=_LONGEST_NAME)
    for benchmark in benchmarks:
        _add_column(table, _name(benchmark), justify="right", max_width=_LONGEST_NAME)
    for label in comparison["label"].unique():
        table.add_row(_name(label), *(cells.get((label, name), "") for name in benchmarks))
    return table


def _pairs(pairwise: pd.DataFrame, of: str) -> Table:
    """A line for each pair and, below it, one for each of its benchmarks."""
    table = _table(f"difference of avg@k in points{of}, with its 95% interval")
    _add_column(table, "pair", max_width=len(" - ") + 2 * _LONGEST_NAME)
    for heading in ("difference", "Holm p"):
        _add_column(table, heading, justify="right")
    previous = None
    for row in rows_of(pairwise):
        pair = f"{one_line(row.label, _LONGEST_NAME)} - {one_line(row.against, _LONGEST_NAME)}"
        if (row.label, row.against) != previous:
            table.add_row(Text(pair))
        table.add_row(
            Text(f"  {one_line(row.benchmark, _LONGEST_NAME)}"),
            Text(f"{signed(row.difference_points)} {interval(row)}"),
            p_value(row.holm_p_value),
            style="bold" if row.family == "primary" else "",
        )
        previous = (row.label, row.against)
    return table


def _add_column(
    table: Table,
    heading: str | Text,
    *,
    justify: Literal["left", "right"] = "left",
    max_width: int | None = None,
) -> None:
    """A column whose cells are cut with an ellipsis where they do not fit, and not broken."""
    table.add_column(
        heading, justify=justify, max_width=max_width, no_wrap=True, overflow="ellipsis"
    )


def _width(table: Table, console: Console) -> int:
    """What the table takes where nothing is cut."""
    unlimited = console.options.update(max_width=sys.maxsize)
    return console.measure(table, options=unlimited).maximum


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def _name(name: str) -> Text:
    return Text(one_line(name, _LONGEST_NAME))
