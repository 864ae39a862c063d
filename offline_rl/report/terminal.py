"""The report in a terminal."""

from collections.abc import Iterator

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from offline_rl.report.contents import Report, rows_of
from offline_rl.report.fairness import budget_flags, kernel_notes
from offline_rl.report.text import half_width, number, one_line, p_value, signed
from offline_rl.report.verdict import verdict

_BENCHMARKS_ABREAST = 5
_LONGEST_NAME = 20


def print_report(report: Report, console: Console) -> None:
    """The verdict, accuracy by label and benchmark, the tested pairs, failures and notes.

    Fits 80 columns. With several base models each has tables of its own.
    """
    for sentence in verdict(report):
        console.print(Text(sentence))
    models = list(report.comparison["model"].unique())
    for model in models:
        of = f" of {one_line(model, _LONGEST_NAME)}" if len(models) > 1 else ""
        for block in _accuracy(report.comparison[report.comparison["model"] == model], of):
            console.print(block)
        pairs = report.pairwise[report.pairwise["model"] == model]
        tested = pairs[pairs["family"] != "exploratory"]
        if not tested.empty:
            console.print(_pairs(tested, of))
    for name, reason in report.failures.items():
        console.print(Text(f"failed: {one_line(name)}: {one_line(reason)}", style="red"))
    unequal = (*budget_flags(report.training).values(), *kernel_notes(report.training))
    for note in (*unequal, *report.notes):
        console.print(Text(f"note: {one_line(note)}", style="yellow"))


def _accuracy(comparison: pd.DataFrame, of: str) -> Iterator[Table]:
    benchmarks = list(comparison["benchmark"].unique())
    cells = {
        (row.label, row.benchmark): f"{number(row.avg_at_k_percent)} ± {number(half_width(row))}"
        for row in rows_of(comparison)
    }
    for start in range(0, len(benchmarks), _BENCHMARKS_ABREAST):
        shown = benchmarks[start : start + _BENCHMARKS_ABREAST]
        table = _table(f"avg@k in %{of}, with the half-width of its 95% interval")
        table.add_column("label", overflow="fold")
        for benchmark in shown:
            table.add_column(_name(benchmark), justify="right", overflow="fold")
        for label in comparison["label"].unique():
            table.add_row(_name(label), *(cells.get((label, name), "") for name in shown))
        yield table


def _pairs(pairwise: pd.DataFrame, of: str) -> Table:
    table = _table(f"difference of avg@k in points{of}, with its 95% interval")
    table.add_column("pair", overflow="fold")
    table.add_column("benchmark", overflow="fold")
    for heading in ("difference", "Holm p"):
        table.add_column(heading, justify="right", no_wrap=True)
    previous = ""
    for row in rows_of(pairwise):
        pair = f"{one_line(row.label, _LONGEST_NAME)} - {one_line(row.against, _LONGEST_NAME)}"
        span = f"[{signed(row.low_points)}, {signed(row.high_points)}]"
        table.add_row(
            Text(pair if pair != previous else ""),
            _name(row.benchmark),
            Text(f"{signed(row.difference_points)} {span}"),
            p_value(row.holm_p_value),
            style="bold" if row.family == "primary" else "",
        )
        previous = pair
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def _name(name: str) -> Text:
    return Text(one_line(name, _LONGEST_NAME))
