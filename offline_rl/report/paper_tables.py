"""The main tables as a paper or a README prints them: rounded, in Markdown and LaTeX."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from offline_rl.report.contents import Report, rows_of
from offline_rl.report.text import accuracies, interval, one_line, p_value, signed

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
_BUDGETS = {
    "steps": "steps",
    "examples_seen": "examples",
    "trained_tokens_seen": "tokens",
    "trials": "trials",
}
_LONGEST_NOTE = 1000


@dataclass(frozen=True)
class _Table:
    """`cells` are texts that are not escaped yet; `align` has a letter for each column of them: l
    for text, r for numbers."""

    caption: str
    cells: pd.DataFrame
    align: str
    foot: str


def markdown(report: Report) -> str:
    """Accuracy and tested differences as pipe tables, then the notes; names are escaped."""
    notes = "".join(f"- {_inline(note)}\n" for note in _notes(report))
    return "\n".join([*map(_markdown, _blocks(report)), *(["Notes:\n", notes] if notes else [])])


def latex(report: Report) -> str:
    """The same tables with booktabs' rules, and the notes as paragraphs; names are escaped."""
    notes = _notes(report)
    blocks = [*_blocks(report), *(["Notes:", *notes] if notes else [])]
    return "% \\usepackage{booktabs}\n" + "\n".join(map(_latex, blocks))


def _blocks(report: Report) -> Iterator[_Table | str]:
    """Of each model its tables, and a sentence on the pairs that have none."""
    models = list(report.comparison["model"].unique())
    for model in models:
        of = f" of {one_line(model)}" if len(models) > 1 else ""
        yield _accuracy(report.comparison[report.comparison["model"] == model], of)
        pairs = report.pairwise[report.pairwise["model"] == model]
        declared = pairs[pairs["family"] != "exploratory"]
        for family, tested in declared.groupby("family"):
            yield _pairs(tested, f"{of}, {family} family")
        if others := len(pairs) - len(declared):
            yield (
                f"Left out, and in pairwise.csv (format csv): {others:,} exploratory"
                f" row{'' if others == 1 else 's'}{of}, of pairs that were not declared."
            )


def _notes(report: Report) -> list[str]:
    failures = report.failures.items()
    missing = [f"Missing: {one_line(name)}: {why}" for name, why in failures]
    return [one_line(text, _LONGEST_NOTE) for text in (*missing, *map(str, report.notes))]


def _accuracy(comparison: pd.DataFrame, of: str) -> _Table:
    benchmarks = list(comparison["benchmark"].unique())
    shown = accuracies(comparison)
    seeds = dict(zip(comparison["label"], comparison["training_seeds"], strict=True))
    rows = [
        [one_line(label), str(count), *(shown.get((label, name), "") for name in benchmarks)]
        for label, count in seeds.items()
    ]
    return _Table(
        f"avg@k in %{of}; ± is the half-width of the 95% interval over problems and training seeds",
        pd.DataFrame(rows, columns=["label", "seeds", *map(one_line, benchmarks)]),
        align="lr" + "r" * len(benchmarks),
        foot="seeds: training seeds; 0 for an untrained policy.",
    )


def _pairs(pairs: pd.DataFrame, of: str) -> _Table:
    rows = [
        [
            *map(one_line, (row.label, row.against, row.benchmark)),
            signed(row.difference_points),
            interval(row),
            p_value(row.holm_p_value),
            f"{row.training_seeds_label} / {row.training_seeds_against}",
        ]
        for row in rows_of(pairs)
    ]
    names = ["label", "against", "benchmark", "points", "95% interval", "p (Holm)", "seeds"]
    cells = pd.DataFrame(rows, columns=names)
    foot = "seeds: training seeds of label / of against; 0 for an untrained policy."
    if pairs["budgets_that_differ"].isna().all():
        return _Table(f"difference of avg@k in points{of}", cells, "lllrrrr", foot)
    cells["unequal"] = [
        ", ".join(_BUDGETS[name] for name in differing.split())
        for differing in pairs["budgets_that_differ"].fillna("")
    ]
    foot += (
        " unequal: what the two had in amounts more than 5% apart, of optimiser steps, examples"
        " seen, trained tokens seen and trials of settings."
    )
    return _Table(f"difference of avg@k in points{of}", cells, "lllrrrrl", foot)


def _markdown(block: _Table | str) -> str:
    if isinstance(block, str):
        return f"{_literal(block)}\n"
    cells = block.cells.map(_literal).rename(columns=_literal)
    sides = ["left" if side == "l" else "right" for side in block.align]
    table = cells.to_markdown(index=False, disable_numparse=True, colalign=sides)
    return f"{_literal(block.caption)}\n\n{table}\n\n{_literal(block.foot)}\n"


def _latex(block: _Table | str) -> str:
    if isinstance(block, str):
        return f"{_escaped(block)}\n"
    cells = block.cells.copy()
    # A minus for the hyphen of a number; names keep theirs.
    numbers = [place for place, side in enumerate(block.align) if side == "r"]
    cells.iloc[:, numbers] = cells.iloc[:, numbers].map(lambda text: text.replace("-", "−"))
    styler = cells.map(_escaped).rename(columns=_escaped).style.hide(axis="index")
    table = styler.to_latex(column_format=block.align, hrules=True)
    return (
        f"\\begin{{table}}\n\\caption{{{_escaped(block.caption)}}}\n{table}\n"
        f"{_escaped(block.foot)}\n\\end{{table}}\n"
    )


def _literal(text: str) -> str:
    """Text that Markdown and the HTML inside of it show as it is, addresses and names unlinked."""
    return _LINKED.sub(r"\\\g<0>", _MARKDOWN.sub(r"\\\1", text))


def _inline(text: str) -> str:
    """`_literal` text that makes no block of Markdown where a line begins with it."""
    return _LEADING.sub(r"\1\\\2", _literal(text))


def _escaped(text: str) -> str:
    # After the end of a row a bracket or an asterisk would be taken for its options.
    return re.sub(r"^[\[*]", r"{\g<0>}", "".join(_LATEX.get(sign, sign) for sign in text))
