"""The comparison's figures for the trackers that a training reports to."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from offline_rl.progress import Progress
from offline_rl.report import Report
from offline_rl.report.contents import rows_of
from offline_rl.report.text import one_line
from offline_rl.settings.base import label_of

_COMPARED = ("avg_at_k_percent", "pass_at_k_percent", "mean_tokens", "token_entropy_nats")


def summary(report: Report) -> dict[str, float]:
    """One number a name: `label/benchmark/figure`, and `label - against/benchmark/points`.

    The base model's name stands before it where there are several. Unknown figures are left out.
    """
    several = report.comparison["model"].nunique() > 1
    values: dict[str, float] = {}

    def add(model: str, parts: Iterable[str], value: float) -> None:
        if not pd.isna(value):
            names = [model, *parts] if several else list(parts)
            values["/".join(one_line(name, 60) for name in names)] = float(value)

    for row in rows_of(report.comparison):
        for figure in _COMPARED:
            add(row.model, (row.label, row.benchmark, figure), getattr(row, figure))
    for row in rows_of(report.pairwise):
        if row.family != "exploratory":
            pair = f"{row.label} - {row.against}"
            add(row.model, (pair, row.benchmark, "difference_points"), row.difference_points)
    return values


def log_comparison(report: Report, names: Iterable[str], folder: Path, progress: Progress) -> None:
    """Sends the summary to the trackers of these names, as one step of a run of its name.

    TensorBoard's files go to `folder`, in place of earlier ones. A tracker that fails costs a line
    of output, not the run.
    """
    from accelerate.state import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    PartialState()
    for name in names:
        kind = LOGGER_TYPE_TO_CLASS[name]
        try:
            if kind.requires_logging_directory:
                shutil.rmtree(folder, ignore_errors=True)
                # There the name is a folder's.
                tracker = kind(label_of(report.results.name), str(folder))
            else:
                tracker = kind(report.results.name)
            tracker.start()
            tracker.log(summary(report), step=0)
            tracker.finish()
        # Whatever a tracker's own library or its server comes up with.
        except Exception as error:
            progress.say(f"the comparison did not reach {name}: {one_line(str(error))}")
