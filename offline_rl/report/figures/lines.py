"""Figures of one line a label: pass@k, performance profiles, learning curves."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from offline_rl.report.figures.drawing import Picture, axis_title, svg_of
from offline_rl.report.figures.names import named_axes, names_at_right
from offline_rl.report.figures.palette import Look
from offline_rl.report.text import number

_MOST_POINTS = 120
LEARNING = {
    "accepted_nll_nats": "NLL of accepted tokens, nats",
    "accepted_entropy_nats": "entropy at accepted tokens, nats",
    "accepted_mean_p": "mean probability of accepted tokens",
}


def pass_at_k(table: pd.DataFrame, looks: Mapping[str, Look]) -> list[Picture]:
    """A picture per benchmark: pass@k over k with 95% bands, of labels with several samples."""
    return [
        _pass_at_k(str(benchmark), rows, looks)
        for benchmark, rows in _several(table).groupby("benchmark", sort=False)
    ]


def _pass_at_k(benchmark: str, rows: pd.DataFrame, looks: Mapping[str, Look]) -> Picture:
    groups = {str(label): group for label, group in rows.groupby("label", sort=False)}
    ends, words = [], []
    # Many bands lie over each other.
    faint = min(0.1, 0.6 / len(groups))
    with named_axes(groups) as axes:
        axes.set_xscale("log", base=2)
        for label, group in groups.items():
            look, at = looks[label], group["pass_at_k_percent"]
            band = (group["low_percent"], group["high_percent"])
            axes.fill_between(
                group["k"], *band, color=look.colour, alpha=faint, linewidth=0, gid=look.name
            )
            _line(axes, group["k"], at, look, marker=look.marker)
            ends.append((label, float(at.iloc[-1])))
            words.append(f"{label} {number(at.iloc[-1])}% at k = {group['k'].iloc[-1]}")
        points = sorted(rows["k"].unique())
        axes.set_xticks(points, [str(k) for k in points])
        axes.minorticks_off()
        axes.set_xlabel("k samples")
        axis_title(axes, "pass@k, %")
        axes.set_ylim(bottom=0)
        names_at_right(axes, ends, looks)
        svg = svg_of(axes)
    return Picture(benchmark, svg, "; ".join(words))


def profiles(table: pd.DataFrame, looks: Mapping[str, Look]) -> list[Picture]:
    """A picture per benchmark: share of problems on which at least that accuracy is reached.

    Labels with one sample a problem are left out.
    """
    return [
        _profile(str(benchmark), rows, looks)
        for benchmark, rows in _several(table).groupby("benchmark", sort=False)
    ]


def _several(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of curves with more than one point."""
    return table[table.groupby(["label", "benchmark"])["label"].transform("size") > 1]


def _profile(benchmark: str, rows: pd.DataFrame, looks: Mapping[str, Look]) -> Picture:
    groups = {str(label): group for label, group in rows.groupby("label", sort=False)}
    ends, words = [], []
    with named_axes(groups) as axes:
        for label, group in groups.items():
            at, share = group["threshold_percent"], group["problems_percent"]
            _line(axes, at, share, looks[label], marker=looks[label].marker)
            ends.append((label, float(share.iloc[-1])))
            half = share[at >= 50]
            words.append(f"{label} {number(half.iloc[0] if len(half) else None)}%")
        axes.set_xlabel("at least this share of samples correct, %")
        axis_title(axes, "problems, %")
        axes.set_ylim(bottom=0)
        names_at_right(axes, ends, looks)
        svg = svg_of(axes)
    return Picture(benchmark, svg, f"problems solved at least half of the time: {'; '.join(words)}")


def learning(curves: pd.DataFrame, looks: Mapping[str, Look]) -> list[Picture]:
    """A picture per common measure: thin lines for training seeds, a bold one for their mean.

    The methods' own losses are in other units each and are never drawn against each other. Of long
    runs neighbouring steps are averaged.
    """
    return [
        _learning(curves.dropna(subset=[column]), column, title, looks)
        for column, title in LEARNING.items()
        if curves[column].notna().any()
    ]


def _learning(curves: pd.DataFrame, column: str, title: str, looks: Mapping[str, Look]) -> Picture:
    groups = {
        str(label): _thinned(group, column)
        for label, group in curves.groupby("label", sort=False)
        if label in looks
    }
    ends, words = [], []
    with named_axes(groups) as axes:
        for label, seeds in groups.items():
            look = looks[label]
            if seeds.shape[1] > 1:
                for seed in seeds:
                    axes.plot(
                        seeds.index,
                        seeds[seed],
                        color=look.colour,
                        alpha=0.3,
                        linewidth=0.7,
                        gid=look.name,
                    )
            mean = seeds.mean(axis=1)
            _line(axes, mean.index, mean, look)
            ends.append((label, float(mean.iloc[-1])))
            words.append(f"{label} {number(mean.iloc[0], 3)} to {number(mean.iloc[-1], 3)}")
        axes.set_xlabel("optimiser step")
        names_at_right(axes, ends, looks)
        svg = svg_of(axes)
    return Picture(title, svg, "; ".join(words))


def _thinned(curves: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column per training seed over steps, at most so many of them, others averaged in."""
    table = curves.groupby(["step", "training_seed"])[column].mean().unstack()
    width = -(-len(table) // _MOST_POINTS)
    if width <= 1:
        return table
    block = np.arange(len(table)) // width
    steps = table.index.to_series().groupby(block).last().to_numpy()
    return table.groupby(block).mean().set_index(steps)


def _line(axes: Any, x: Any, y: Any, look: Look, marker: str = "") -> None:
    axes.plot(
        x, y, color=look.colour, linestyle=look.line, linewidth=1.6, marker=marker, markersize=4.5,
        markerfacecolor=look.face, markeredgewidth=1.1, gid=look.name,
    )  # fmt: skip
