"""Figures of one row a label or pair: accuracy with its interval, differences, lengths."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from eval.model_table import MACRO
from offline_rl.report.contents import rows_of
from offline_rl.report.figures.drawing import Picture, axes_of, name_of, svg_of, width_of
from offline_rl.report.figures.palette import ACCENT, FAINT, INK, LINE, PAPER, Look
from offline_rl.report.text import interval, number, p_value, signed

_ROW = 21
_SIGNIFICANT = 0.05
_LONGEST = 60
"""Rows of one picture."""
_LENGTHS = {
    "mean_tokens": "mean length, tokens",
    "no_answer_percent": "samples without an answer, %",
    "truncated_percent": "samples cut off at the token limit, %",
}


def accuracy(
    comparison: pd.DataFrame, seeds: pd.DataFrame, looks: Mapping[str, Look]
) -> list[Picture]:
    """A picture per benchmark: mean, 95% interval, and a dot for every training seed."""
    return [
        _accuracy(str(benchmark), rows, seeds[seeds["benchmark"] == benchmark], looks)
        for benchmark, rows in comparison.groupby("benchmark", sort=False)
    ]


def _accuracy(
    benchmark: str, rows: pd.DataFrame, seeds: pd.DataFrame, looks: Mapping[str, Look]
) -> Picture:
    names = [name_of(label) for label in rows["label"]]
    by_seed = seeds[seeds["training_seed"].notna()].groupby("label")["avg_at_k_percent"]
    values = {str(label): list(found) for label, found in by_seed}
    with axes_of(_height(rows), left=width_of(names) + 14, right=14) as axes:
        axes.axvline(rows["avg_at_k_percent"].iloc[0], color=FAINT, linewidth=0.8, dashes=(2, 2))
        for place, row in enumerate(rows_of(rows)):
            look = looks[row.label]
            axes.plot(
                [row.avg_at_k_low_percent, row.avg_at_k_high_percent], [place, place],
                color=look.colour, linewidth=1.8, gid=look.name,
            )  # fmt: skip
            _mark(axes, [row.avg_at_k_percent], place, look)
            dots = values.get(row.label, [])
            axes.plot(
                dots, [place + 0.32] * len(dots), "|", color=look.colour, markersize=5,
                markeredgewidth=1.1, clip_on=False, gid=look.name,
            )  # fmt: skip
        _rows(axes, names, "avg@k, % correct", [looks[label].name for label in rows["label"]])
        svg = svg_of(axes)
    words = "; ".join(
        f"{row.label} {number(row.avg_at_k_percent)}% [{number(row.avg_at_k_low_percent)},"
        f" {number(row.avg_at_k_high_percent)}]"
        for row in rows_of(rows)
    )
    return Picture(benchmark, svg, words)


def forest(pairs: pd.DataFrame, looks: Mapping[str, Look], *, title: str) -> Picture:
    """Differences with their intervals, those with the same other side together.

    A mark is filled where the Holm-adjusted p-value is below 0.05. Of more than 60 pairs the
    largest differences are shown.
    """
    most = pairs["difference_points"].abs().nlargest(_LONGEST).index
    pairs = pairs.loc[pairs.index.isin(most)]
    names: list[str] = []
    drawn: list[Any] = []
    for against, group in pairs.groupby("against", sort=False):
        names += [f"against {name_of(str(against), 14)}", *map(name_of, group["label"])]
        drawn += [None, *rows_of(group)]
    with axes_of(_ROW * len(names) + 46, left=width_of(names) + 8, right=62) as axes:
        axes.axvline(0, color=FAINT, linewidth=0.8)
        for place, row in enumerate(drawn):
            if row is not None:
                _difference(axes, place, row, looks[row.label])
        # With one problem there are differences and no intervals.
        ends = pairs[["difference_points", "low_points", "high_points"]].to_numpy(dtype=float)
        low, high = min(0.0, np.nanmin(ends)), max(0.0, np.nanmax(ends))
        edge = 0.04 * max(1.0, high - low)
        axes.set_xlim(low - edge, high + edge)
        marks = [None if row is None else looks[row.label].name for row in drawn]
        _rows(axes, names, "difference of avg@k, points", marks)
        for tick, row in zip(axes.get_yticklabels(), drawn, strict=True):
            tick.set_color(FAINT if row is None else INK)
        svg = svg_of(axes)
    words = "; ".join(
        f"{row.label} against {row.against} {signed(row.difference_points)} {interval(row)},"
        f" Holm p {p_value(row.holm_p_value)}"
        for row in drawn
        if row is not None
    )
    return Picture(title, svg, words)


def _difference(axes: Any, place: int, row: Any, look: Look) -> None:
    shown = bool(row.holm_p_value < _SIGNIFICANT)
    axes.plot(
        [row.low_points, row.high_points],
        [place] * 2,
        color=look.colour,
        linewidth=1.6,
        gid=look.name,
    )
    axes.plot(
        row.difference_points, place, look.marker, color=look.colour, markersize=6.5,
        markerfacecolor=look.colour if shown else PAPER, markeredgewidth=1.4, gid=look.name,
    )  # fmt: skip
    # Figures end in one line, the asterisk after it.
    for text, right, side in ((signed(row.difference_points), 42, "right"), ("*", 45, "left")):
        if text != "*" or shown:
            axes.annotate(
                text, (1, place), xycoords=("axes fraction", "data"), xytext=(right, 0),
                textcoords="offset points", va="center_baseline", ha=side,
                color=INK if shown else FAINT, gid=look.name,
            )  # fmt: skip


def lengths(comparison: pd.DataFrame, looks: Mapping[str, Look]) -> list[Picture]:
    """Mean length and the shares of samples without an answer and cut off, a picture each."""
    return [
        _by_benchmark(comparison, column, title, looks)
        for column, title in _LENGTHS.items()
        if comparison[column].notna().any()
    ]


def _by_benchmark(
    comparison: pd.DataFrame, column: str, title: str, looks: Mapping[str, Look]
) -> Picture:
    """The mean over benchmarks as a marker, single ones as ticks."""
    labels = list(comparison["label"].unique())
    names = [name_of(label) for label in labels]
    words = []
    with axes_of(_height(labels) - 14, left=width_of(names) + 14, right=14, bottom=20) as axes:
        for place, label in enumerate(labels):
            rows, look = comparison[comparison["label"] == label], looks[label]
            single = rows[rows["benchmark"] != MACRO][column]
            axes.plot(
                single, [place] * len(single), "|", color=look.colour, markersize=9, gid=look.name
            )
            whole = rows[rows["benchmark"] == MACRO][column]
            _mark(axes, list(whole), place, look)
            words.append(f"{label} {number(whole.iloc[0] if len(whole) else None)}")
        axes.set_xlim(left=0, right=max(1.0, 1.04 * float(comparison[column].max())))
        _rows(axes, names, "", [looks[label].name for label in labels])
        svg = svg_of(axes)
    return Picture(title, svg, f"macro: {'; '.join(words)}")


def bars(counts: Mapping[str, float], *, title: str) -> Picture:
    """Counts as bars from top to bottom, each with its number."""
    names = [name_of(name, 26) for name in counts]
    values = list(counts.values())
    with axes_of(_height(names) - 30, left=width_of(names) + 10, right=52, bottom=4) as axes:
        axes.barh(range(len(values)), values, color=ACCENT, height=0.68, linewidth=0)
        for place, value in enumerate(values):
            axes.annotate(
                number(value, 0), (value, place), xytext=(4, 0), textcoords="offset points",
                va="center",
            )  # fmt: skip
        axes.set_xlim(left=0, right=max([*values, 1]))
        _rows(axes, names, "")
        axes.grid(visible=False)
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        axes.spines["left"].set_visible(True)
        svg = svg_of(axes)
    words = "; ".join(f"{name} {number(value, 0)}" for name, value in counts.items())
    return Picture(title, svg, words)


def _mark(axes: Any, values: Sequence[float], place: int, look: Look) -> None:
    axes.plot(
        values, [place] * len(values), look.marker, color=look.colour, markersize=6.5,
        markerfacecolor=look.face, markeredgewidth=1.4, clip_on=False, gid=look.name,
    )  # fmt: skip


def _rows(axes: Any, names: Sequence[str], title: str, marks: Sequence[str | None] = ()) -> None:
    """Names of rows at the left, `marks` those of their looks, and what is measured below."""
    axes.set_yticks(range(len(names)), names)
    for tick, mark in zip(axes.get_yticklabels(), marks, strict=False):
        tick.set_gid(mark)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelcolor=INK, pad=8)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel(title)
    axes.spines["bottom"].set_color(LINE)


def _height(rows: Any) -> float:
    return _ROW * len(rows) + 46
