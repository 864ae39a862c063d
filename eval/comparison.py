"""Evaluations side by side: the tables of all labels and pairs, and what must be said of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from eval.bootstrap import Resampled, resample
from eval.curves import PASS_AT_K, PROFILE, pass_at_k_rows, profile_rows
from eval.evaluation import Evaluation
from eval.label_rows import COMPARISON, SEEDS, Accuracy
from eval.model_table import Panel, arrange
from eval.notes import Note, notes_on
from eval.pair_rows import PAIRWISE, pair_rows, pairs_of, with_holm

CHECK_COLUMNS: Mapping[str, str] = {
    "model": "the base model that the policies come from",
    "label": "whose figure it is, as in comparison.csv or pairwise.csv",
    "against": "what label is compared with; empty for a figure of label alone",
    "benchmark": "set of held-out problems; macro is the unweighted mean over all of them",
    "check": "which figure it is",
    "value": "the figure; rows without a value are left out",
}
CHECKS: Mapping[str, str] = {
    "iqm_percent": "interquartile mean: of the middle half of (training seed, problem) shares",
    "iqm_low_percent": "lower end of its 95% bootstrap interval over problems and seeds",
    "iqm_high_percent": "upper end of that interval",
    "correlation": "of the two sides' accuracies over problems; none if one does not vary",
    "sign_flip_p_value": "permutation test over problems; of these checkpoints only, not of the"
    " methods",
    "mcnemar_p_value": "McNemar's exact test; of these checkpoints only; none unless each side is"
    " one checkpoint with one answer to every problem of one benchmark",
    "bootstrap_low_points": "lower end of the 95% bootstrap interval of difference_points, a check"
    " on low_points; too narrow with few training seeds",
    "bootstrap_high_points": "upper end of that interval",
}
"""What is in the column `check`."""


@dataclass(frozen=True)
class Comparison:
    """`comparison`: a row for every model, label and benchmark; `seeds`: one for every training
    seed of these. `pairwise`: one for every pair of a model's labels and benchmark. `pass_at_k` and
    `profile`: points of curves. Rows of the benchmark "macro" are unweighted means over benchmarks;
    nothing is averaged over models. `checks`: further figures of labels and pairs, a row for every
    value, `against` empty for labels. `notes` say in words what a reader must know.
    COMPARISON, SEEDS, PAIRWISE, PASS_AT_K, PROFILE and CHECK_COLUMNS say what the columns mean.
    """

    comparison: pd.DataFrame
    pairwise: pd.DataFrame
    checks: pd.DataFrame
    seeds: pd.DataFrame
    pass_at_k: pd.DataFrame
    profile: pd.DataFrame
    notes: tuple[Note, ...]


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
    of_labels = [row for accuracy in accuracies for row in accuracy.rows()]
    of_pairs = [row for panel, d in drawn for row in pair_rows(panel, pairs[panel.model], d)]
    pairwise = with_holm(pd.DataFrame(of_pairs, columns=list(PAIRWISE)))
    order = [panel.model for panel in panels]
    curves = [(panel, label) for panel in panels for label in panel.labels]
    return Comparison(
        comparison=pd.DataFrame(of_labels, columns=list(COMPARISON)),
        pairwise=pairwise,
        checks=_checks(sorted([*of_labels, *of_pairs], key=lambda row: order.index(row["model"]))),
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


def _checks(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    found = [
        {"against": "", **row, "check": check, "value": row.get(check)}
        for row in rows
        for check in CHECKS
    ]
    table = pd.DataFrame(found, columns=list(CHECK_COLUMNS))
    return table.dropna(subset="value", ignore_index=True)


def _frame(columns: Iterable[str], pieces: Iterable[Iterable[dict[str, Any]]]) -> pd.DataFrame:
    return pd.DataFrame([row for piece in pieces for row in piece], columns=list(columns))
