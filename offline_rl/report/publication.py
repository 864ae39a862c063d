"""The main tables as a paper or a README prints them: rounded, in Markdown and LaTeX."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from offline_rl.report.contents import Report, rows_of
from offline_rl.report.fairness import budget_flags, kernel_notes
from offline_rl.report.text import half_width, number, one_line, p_value, signed

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>~&$])")
# What GitHub makes a link of: the colon of an address, the point after www, the sign before a name,
# but not that of avg@k.
_LINKED = re.compile(r"(?i)(?<=[a-z]):(?=/|\\?[a-z])|(?<=\bwww)\.|(?<!\bavg)(?<!\bpass)(?<!\bmaj)@")
# What makes a rule or a list of text at the start of a line.
_LEADING = re.compile(r"^(\d*)([-.=])")
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
_TESTED = ("primary", "secondary")
_BUDGETS = {
    "steps": "steps",
    "examples_seen": "examples",
    "trained_tokens_seen": "tokens",
    "trials": "trials",
}
_LONGEST_NOTE = 1000


@dataclass(frozen=True)
class _Table:
    caption: str
    heading: Sequence[str]
    rows: Sequence[Sequence[str]]
    columns: str
    """A letter each: l for text, r for numbers."""
    foot: str


def markdown(report: Report) -> str:
    """Accuracy and tested differences as pipe tables, then the notes; names are escaped."""
    shown = [
        f"{_literal(block)}\n" if isinstance(block, str) else _markdown(block)
        for block in _blocks(report)
    ]
    notes = [f"- {_inline(note)}\n" for note in _notes(report)]
    return "\n".join(shown + (["Notes:\n", "".join(notes)] if notes else []))


def latex(report: Report) -> str:
    """The same tables with booktabs' rules, and the notes as paragraphs; names are escaped."""
    shown = [
        f"{_escaped(block)}\n" if isinstance(block, str) else _latex(block)
        for block in _blocks(report)
    ]
    notes = [f"{_escaped(note)}\n" for note in _notes(report)]
    head = "% \\usepackage{booktabs}\n"
    return head + "\n".join(shown + (["Notes:\n", *notes] if notes else []))


def _blocks(report: Report) -> Iterator[_Table | str]:
    """Of each model its tables, and a sentence on the pairs that have none."""
    models = list(report.comparison["model"].unique())
    for model in models:
        of = f" of {one_line(model)}" if len(models) > 1 else ""
        yield _accuracy(report.comparison[report.comparison["model"] == model], of)
        pairs = report.pairwise[report.pairwise["model"] == model]
        for family in _TESTED:
            tested = pairs[pairs["family"] == family]
            if not tested.empty:
                yield _pairs(tested, f"{of}, {family} family")
        others = len(pairs) - int(pairs["family"].isin(_TESTED).sum())
        if others:
            rows = "1 exploratory row" if others == 1 else f"{others:,} exploratory rows"
            yield (
                f"Left out, and in pairwise.csv (format csv): {rows}{of}, of pairs that were not"
                " declared."
            )


def _notes(report: Report) -> list[str]:
    missing = [f"Missing: {one_line(name)}: {why}" for name, why in report.failures.items()]
    unequal = [*budget_flags(report.training).values(), *kernel_notes(report.training)]
    return [one_line(note, _LONGEST_NOTE) for note in (*missing, *unequal, *report.notes)]


def _accuracy(comparison: pd.DataFrame, of: str) -> _Table:
    benchmarks = list(comparison["benchmark"].unique())
    cells = {
        (row.label, row.benchmark): f"{number(row.avg_at_k_percent)} ± {number(half_width(row))}"
        for row in rows_of(comparison)
    }
    seeds = {row.label: str(row.training_seeds) for row in rows_of(comparison)}
    return _Table(
        f"avg@k in %{of}; ± is the half-width of the 95% interval over problems and training seeds",
        ["label", "seeds", *map(one_line, benchmarks)],
        [
            [one_line(label), count, *(cells.get((label, name), "") for name in benchmarks)]
            for label, count in seeds.items()
        ],
        columns="lr" + "r" * len(benchmarks),
        foot="seeds: training seeds; 0 for an untrained policy.",
    )


def _pairs(pairs: pd.DataFrame, of: str) -> _Table:
    heading = ["label", "against", "benchmark", "points", "95% interval", "p (Holm)", "seeds"]
    columns = "lllrrrr"
    foot = "seeds: training seeds of label / of against; 0 for an untrained policy."
    rows = [
        [
            *map(one_line, (row.label, row.against, row.benchmark)),
            signed(row.difference_points),
            f"[{signed(row.low_points)}, {signed(row.high_points)}]",
            p_value(row.holm_p_value),
            f"{row.training_seeds_label} / {row.training_seeds_against}",
        ]
        for row in rows_of(pairs)
    ]
    marks = [_unequal(row.budgets_that_differ) for row in rows_of(pairs)]
    if any(marks):
        heading.append("unequal")
        columns += "l"
        foot += (
            " unequal: what the two had in amounts more than 5% apart, of optimiser steps, examples"
            " seen, trained tokens seen and trials of settings."
        )
        rows = [[*row, mark] for row, mark in zip(rows, marks, strict=True)]
    return _Table(f"difference of avg@k in points{of}", heading, rows, columns, foot)


def _unequal(names: Any) -> str:
    """The budgets that a pair differs in, in words; "" for none."""
    return "" if pd.isna(names) else ", ".join(_BUDGETS[name] for name in names.split())


def _markdown(table: _Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(map(_literal, cells))} |"

    rule = "|".join(" --- " if column == "l" else " ---: " for column in table.columns)
    body = [line(row) for row in table.rows]
    return "\n".join(
        [
            _literal(table.caption),
            "",
            line(table.heading),
            f"|{rule}|",
            *body,
            "",
            _literal(table.foot),
            "",
        ]
    )


def _literal(text: str) -> str:
    """Text that Markdown and the HTML inside of it show as it is, addresses and names unlinked."""
    return _LINKED.sub(r"\\\g<0>", _MARKDOWN.sub(r"\\\1", text))


def _inline(text: str) -> str:
    """`_literal` text that makes no block of Markdown where a line begins with it."""
    return _LEADING.sub(r"\1\\\2", _literal(text))


def _latex(table: _Table) -> str:
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escaped(table.caption)}}}",
            rf"\begin{{tabular}}{{{table.columns}}}",
            r"\toprule",
            _row(table.heading),
            r"\midrule",
            *(_row(_minuses(row, table.columns)) for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
            _escaped(table.foot),
            r"\end{table}",
            "",
        ]
    )


def _minuses(row: Sequence[str], columns: str) -> list[str]:
    """The row with a minus for the hyphen of a number; names keep theirs."""
    return [
        cell.replace("-", "−") if column == "r" else cell
        for cell, column in zip(row, columns, strict=True)
    ]


def _row(cells: Sequence[str]) -> str:
    return f"{' & '.join(map(_escaped, cells))} \\\\"


def _escaped(text: str) -> str:
    escaped = "".join(_LATEX.get(sign, sign) for sign in text)
    # After the end of a row these would be taken for its options.
    if escaped.startswith(("[", "*")):
        escaped = f"{{{escaped[0]}}}{escaped[1:]}"
    return escaped
