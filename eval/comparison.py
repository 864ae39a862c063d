"""Evaluations side by side: the tables of all labels and pairs, and what must be said of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypedDict

import pandas as pd

from eval.bootstrap import Resampled, resample
from eval.columns import BenchmarkName, meanings, table_of
from eval.curves import PassAtKRow, ProfileRow, pass_at_k_rows, profile_rows
from eval.evaluation import Evaluation
from eval.label_rows import Accuracy, CheckedLabelRow, LabelChecks, LabelRow, SeedRow
from eval.model_table import Panel, arrange
from eval.notes import Note, notes_on
from eval.pair_rows import CheckedPairRow, PairChecks, PairRow, pair_rows, pairs_of, with_holm


class CheckRow(TypedDict):
    """A further figure of a label or of a pair."""

    model: Annotated[str, "the base model that the policies come from"]
    label: Annotated[str, "whose figure it is, as in comparison.csv or pairwise.csv"]
    against: Annotated[str, "what label is compared with; empty for a figure of label alone"]
    benchmark: BenchmarkName
    check: Annotated[str, "which figure it is"]
    value: Annotated[object, "the figure; rows without a value are left out"]


CHECK_COLUMNS = meanings(CheckRow)
CHECKS = {**meanings(LabelChecks), **meanings(PairChecks)}
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
    of_seeds = [row for accuracy in accuracies for row in accuracy.seed_rows()]
    of_pairs = [row for panel, d in drawn for row in pair_rows(panel, pairs[panel.model], d)]
    pairwise = with_holm(table_of(of_pairs, PairRow))
    order = [panel.model for panel in panels]
    curves = [(panel, label) for panel in panels for label in panel.labels]
    return Comparison(
        comparison=table_of(of_labels, LabelRow),
        pairwise=pairwise,
        checks=_checks(sorted([*of_labels, *of_pairs], key=lambda row: order.index(row["model"]))),
        seeds=table_of(of_seeds, SeedRow).astype({"training_seed": "Int64"}),
        pass_at_k=table_of((row for of in curves for row in pass_at_k_rows(*of)), PassAtKRow),
        profile=table_of((row for of in curves for row in profile_rows(*of)), ProfileRow),
        notes=tuple(notes_on(panels, pairwise, baseline, reference)),
    )


def _resampled(panel: Panel) -> Resampled:
    return resample(
        {label: {e.benchmark: e.table for e in panel.of(label)} for label in panel.labels}
    )


def _checks(rows: Iterable[CheckedLabelRow | CheckedPairRow]) -> pd.DataFrame:
    found = [
        CheckRow(
            model=row["model"],
            label=row["label"],
            against=str(row.get("against", "")),
            benchmark=row["benchmark"],
            check=check,
            value=row.get(check),
        )
        for row in rows
        for check in CHECKS
    ]
    return table_of(found, CheckRow).dropna(subset="value", ignore_index=True)
