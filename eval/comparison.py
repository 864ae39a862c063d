"""Evaluations side by side: the tables of all labels and pairs, and what must be said of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from eval.accuracy import COMPARISON, SEEDS, Accuracy
from eval.bootstrap import Resampled, resample
from eval.curves import PASS_AT_K, PROFILE, pass_at_k_rows, profile_rows
from eval.evaluation import Evaluation
from eval.notes import notes_on
from eval.pairing import PAIRWISE, pair_rows, pairs_of, with_holm
from eval.panel import Panel, arrange


@dataclass(frozen=True)
class Comparison:
    """`comparison`: a row for every model, label and benchmark; `seeds`: one for every training
    seed of these. `pairwise`: one for every pair of a model's labels and benchmark. `pass_at_k` and
    `profile`: points of curves. Rows of the benchmark "macro" are unweighted means over benchmarks;
    nothing is averaged over models. `notes` say in words what a reader must know.
    offline_rl.report.columns says what the columns mean.
    """

    comparison: pd.DataFrame
    pairwise: pd.DataFrame
    seeds: pd.DataFrame
    pass_at_k: pd.DataFrame
    profile: pd.DataFrame
    notes: tuple[str, ...]


def compare(
    evaluations: Sequence[Evaluation],
    *,
    baseline: str = "base",
    reference: str = "rft",
    models: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    benchmarks: Sequence[str] | None = None,
    among_untrained: bool = False,
) -> Comparison:
    """Compares the labels of each model in pairs, paired on problems.

    Declared are the pairs of every trained label with `baseline` and with `reference`, and with
    `among_untrained` those of every label with `baseline`; all others are exploratory. Pairs of two
    untrained labels are made with `among_untrained` only.

    Order of rows: models by `models` (then by appearance); the baseline, other untrained labels,
    trained ones, each by `labels` (then alphabetically); benchmarks by `benchmarks` (then
    alphabetically), macro last. A label that is not there has no rows. Raises DataError where
    problems, samples or seeds do not match.
    """
    panels = arrange(
        evaluations, baseline=baseline, models=models, labels=labels, benchmarks=benchmarks
    )
    drawn = [(panel, _resampled(panel)) for panel in panels]
    accuracies = [Accuracy(panel, label, draws) for panel, draws in drawn for label in panel.labels]
    pairs = {p.model: pairs_of(p, baseline, reference, among_untrained) for p in panels}
    pairwise = with_holm(_frame(PAIRWISE, (pair_rows(p, pairs[p.model], d) for p, d in drawn)))
    curves = [(panel, label) for panel in panels for label in panel.labels]
    return Comparison(
        comparison=_frame(COMPARISON, (accuracy.rows() for accuracy in accuracies)),
        pairwise=pairwise,
        seeds=_frame(SEEDS, (accuracy.seed_rows() for accuracy in accuracies)).astype(
            {"training_seed": "Int64"}
        ),
        pass_at_k=_frame(PASS_AT_K, (pass_at_k_rows(*of) for of in curves)),
        profile=_frame(PROFILE, (profile_rows(*of) for of in curves)),
        notes=tuple(notes_on(panels, pairwise, baseline, reference)),
    )


def _resampled(panel: Panel) -> Resampled:
    return resample(
        {label: {e.benchmark: e.table for e in panel.of(label)} for label in panel.labels}
    )


def _frame(columns: list[str], pieces: Iterable[Iterable[dict[str, Any]]]) -> pd.DataFrame:
    return pd.DataFrame([row for piece in pieces for row in piece], columns=columns)
