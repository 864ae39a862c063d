"""The main tables as a paper or a README prints them: rounded, in Markdown and LaTeX."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from offline_rl.report.contents import Report, rows_of
from offline_rl.report.text import half_width, number, one_line, p_value, signed

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>~&$])")
# What GitHub makes a link of: the colon of an address, the point after www, the sign before a name.
_LINKED = re.compile(r"(?i)(?<=[a-z]):(?=/|\\?[a-z])|(?<=\bwww)\.|@(?!k\b)")
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


@dataclass(frozen=True)
class _Table:
    caption: str
    heading: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int
    """How many columns at the left hold names; the others hold numbers."""


def markdown(report: Report) -> str:
    """Accuracy and differences as pipe tables; names are escaped."""
    return "\n".join(_markdown(table) for table in _tables(report))


def latex(report: Report) -> str:
    """The same tables with booktabs' rules; names are escaped."""
    head = "% \\usepackage{booktabs}\n"
    return head + "\n".join(_latex(table) for table in _tables(report))


def _tables(report: Report) -> Iterator[_Table]:
    models = list(report.comparison["model"].unique())
    for model in models:
        of = f" of {one_line(model)}" if len(models) > 1 else ""
        yield _accuracy(report.comparison[report.comparison["model"] == model], of)
        pairs = report.pairwise[report.pairwise["model"] == model]
        for family in pairs["family"].unique():
            yield _pairs(pairs[pairs["family"] == family], f"{of}, {family} family")


def _accuracy(comparison: pd.DataFrame, of: str) -> _Table:
    benchmarks = list(comparison["benchmark"].unique())
    cells = {
        (row.label, row.benchmark): f"{number(row.avg_at_k_percent)} ± {number(half_width(row))}"
        for row in rows_of(comparison)
    }
    return _Table(
        f"avg@k in %{of}; ± is the half-width of the 95% interval over problems and training seeds",
        ["label", *map(one_line, benchmarks)],
        [
            [one_line(label), *(cells.get((label, benchmark), "") for benchmark in benchmarks)]
            for label in comparison["label"].unique()
        ],
        text_columns=1,
    )


def _pairs(pairs: pd.DataFrame, of: str) -> _Table:
    return _Table(
        f"difference of avg@k in points{of}",
        ["label", "against", "benchmark", "points", "95% interval", "p (Holm)"],
        [
            [
                *map(one_line, (row.label, row.against, row.benchmark)),
                signed(row.difference_points),
                f"[{signed(row.low_points)}, {signed(row.high_points)}]",
                p_value(row.holm_p_value),
            ]
            for row in rows_of(pairs)
        ],
        text_columns=3,
    )


def _markdown(table: _Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(map(_literal, cells))} |"

    numbers = len(table.heading) - table.text_columns
    rule = "|".join([" --- "] * table.text_columns + [" ---: "] * numbers)
    body = [line(row) for row in table.rows]
    return "\n".join([_literal(table.caption), "", line(table.heading), f"|{rule}|", *body, ""])


def _literal(text: str) -> str:
    """Text that Markdown and the HTML inside of it show as it is, addresses and names unlinked."""
    return _LINKED.sub(r"\\\g<0>", _MARKDOWN.sub(r"\\\1", text))


def _latex(table: _Table) -> str:
    numbers = len(table.heading) - table.text_columns
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escaped(table.caption)}}}",
            rf"\begin{{tabular}}{{{'l' * table.text_columns}{'r' * numbers}}}",
            r"\toprule",
            _row(table.heading),
            r"\midrule",
            *map(_row, table.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _row(cells: Sequence[str]) -> str:
    return f"{' & '.join(map(_escaped, cells))} \\\\"


def _escaped(text: str) -> str:
    escaped = "".join(_LATEX.get(sign, sign) for sign in text)
    # After the end of a row these would be taken for its options.
    if escaped.startswith(("[", "*")):
        escaped = f"{{{escaped[0]}}}{escaped[1:]}"
    return escaped.replace("±", r"$\pm$").replace("–", "--")
