"""Figures that tell a policy that knows more from one that is only surer of itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from offline_rl.report.contents import rows_of
from offline_rl.report.figures.drawing import (
    Picture,
    axes_of,
    axis_title,
    name_of,
    svg_of,
    width_of,
)
from offline_rl.report.figures.names import named_axes, names_at_right
from offline_rl.report.figures.palette import FAINT, INK, Look
from offline_rl.report.text import number

_HEIGHT = 250
# With more points their names find no place beside them.
_CROWD = 8


def entropy_and_accuracy(comparison: pd.DataFrame, looks: Mapping[str, Look]) -> list[Picture]:
    """A picture per benchmark: accuracy over the entropy of what is sampled.

    Decodings at other temperatures have no entropy of their own: dotted lines at their accuracy.
    """
    pictures = []
    for benchmark, rows in comparison.groupby("benchmark", sort=False):
        known = list(rows_of(rows.dropna(subset=["token_entropy_nats"])))
        if len(known) < 2:
            continue
        without = list(rows_of(rows[rows["token_entropy_nats"].isna()]))
        points = [(r.label, r.token_entropy_nats, r.avg_at_k_percent) for r in known]
        spans = [(r.avg_at_k_low_percent, r.avg_at_k_high_percent) for r in known]
        lines = [(r.label, r.avg_at_k_percent) for r in without]
        svg = _scatter(points, spans, lines, looks, ("token entropy, nats", "avg@k, % correct"))
        words = "; ".join(f"{n} {number(x, 3)} nats, {number(y)}%" for n, x, y in points)
        pictures.append(Picture(str(benchmark), svg, words))
    return pictures


def accuracy_and_pass_at_k(comparison: pd.DataFrame, looks: Mapping[str, Look]) -> list[Picture]:
    """A picture per benchmark: problems solved at all over samples that are right."""
    pictures = []
    for benchmark, rows in comparison.groupby("benchmark", sort=False):
        k = rows["samples_per_problem"].max()
        rows = rows[rows["samples_per_problem"] == k]
        if k < 2 or len(rows) < 2:
            continue
        points = [(r.label, r.avg_at_k_percent, r.pass_at_k_percent) for r in rows_of(rows)]
        svg = _scatter(points, [], [], looks, (f"avg@{k}, % correct", f"pass@{k}, %"))
        words = "; ".join(f"{n} avg {number(x)}%, pass {number(y)}%" for n, x, y in points)
        pictures.append(Picture(str(benchmark), svg, words))
    return pictures


def _scatter(
    points: Sequence[tuple[str, float, float]],
    spans: Sequence[tuple[float, float]],
    lines: Sequence[tuple[str, float]],
    looks: Mapping[str, Look],
    axis_names: tuple[str, str],
) -> Any:
    labels = [label for label, _, _ in points]
    crowded = len(points) > _CROWD
    with named_axes(labels) if crowded else _roomy_axes(labels) as axes:
        for label, level in lines:
            axes.axhline(
                level,
                color=looks[label].colour,
                linestyle=(0, (1, 2)),
                linewidth=1,
                gid=looks[label].name,
            )
        for (label, x, _), span in zip(points, spans, strict=False):
            axes.plot([x, x], span, color=looks[label].colour, linewidth=1.4, gid=looks[label].name)
        for label, x, y in points:
            look = looks[label]
            axes.plot(
                x, y, look.marker, color=look.colour, markersize=7, markerfacecolor=look.face,
                markeredgewidth=1.4, clip_on=False, gid=look.name,
            )  # fmt: skip
        axes.set_xlabel(axis_names[0])
        axis_title(axes, axis_names[1])
        axes.margins(0.08)
        axes.grid()
        if crowded:
            names_at_right(axes, [(label, y) for label, _, y in points], looks)
        _names(axes, [] if crowded else points, lines, looks)
        return svg_of(axes)


def _roomy_axes(labels: Sequence[str]) -> Any:
    names = [name_of(label, 14) for label in labels]
    return axes_of(_HEIGHT, left=36, right=max(14.0, width_of(names) - 10), top=24)


def _names(
    axes: Any,
    points: Sequence[tuple[str, float, float]],
    lines: Sequence[tuple[str, float]],
    looks: Mapping[str, Look],
) -> None:
    """Beside the points, a name moved up or down where it would cover another."""
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    pixels = axes.transData.transform
    taken: list[tuple[float, float, float]] = []
    for label, level in lines:
        at = (axes.get_xlim()[0], level)
        name = name_of(label, 22)
        taken.append((*pixels(at), 4 + width_of([name])))
        axes.annotate(name, at, xytext=(3, 3), textcoords="offset points", color=FAINT, fontsize=10)
    for label, x, y in sorted(points, key=lambda point: -point[2]):
        name = name_of(label, 14)
        left, base = pixels((x, y))
        width = 8 + width_of([name])
        shift = next(
            up
            for up in (0, 11, -11, 22, -22, 33, -33, 44, -44, 55)
            if up == 55
            or not any(
                left < right + length and right < left + width and abs(base + up - height) < 11
                for right, height, length in taken
            )
        )
        taken.append((left, base + shift, width))
        axes.annotate(
            name,
            (x, y),
            xytext=(8, shift),
            textcoords="offset points",
            va="center",
            color=INK,
            gid=looks[label].name,
        )
