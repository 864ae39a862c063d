"""Rows of pairs: which labels of a model are compared, and how they differ problem by problem."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, TypedDict

import numpy as np
import pandas as pd

from eval.bootstrap import Resampled, percentile_interval
from eval.columns import BenchmarkName, meanings
from eval.label_table import Entry
from eval.model_table import MACRO, Panel
from eval.permutation import mcnemar_p_value, permutation_p_value, sign_flipped_means
from eval.statistics import Table, headline_difference, holm


class PairRow(TypedDict):
    """Two labels on a benchmark."""

    model: Annotated[str, "the base model that both sides come from"]
    label: Annotated[str, "trained method, or a decoding or model that is compared"]
    against: Annotated[str, "what it is compared with"]
    benchmark: BenchmarkName
    problems: Annotated[int, "number of problems, each answered by both sides"]
    difference_points: Annotated[float, "avg@k of label less that of against, in percentage points"]
    low_points: Annotated[float, "lower end of its 95% interval over problems and training seeds"]
    high_points: Annotated[float, "upper end of that interval"]
    standard_error_points: Annotated[
        float, "of the difference: paired over problems, plus training seeds"
    ]
    degrees_of_freedom: Annotated[float, "Satterthwaite's, of the standard error"]
    p_value: Annotated[float, "two-sided: 1 less the level at which the interval ends at zero"]
    holm_p_value: Annotated[float, "p_value adjusted for all rows of the family, over all models"]
    family: Annotated[
        str,
        "rows tested together: primary (declared pairs on macro), secondary (the same on"
        " single benchmarks) or exploratory (all other pairs)",
    ]
    minimum_detectable_points: Annotated[
        float,
        "true difference that p_value would show, before Holm's correction, in about 80 of"
        " 100 such comparisons, training seeds included",
    ]
    wins: Annotated[int, "problems on which label is right more often, training seeds averaged"]
    ties: Annotated[int, "problems on which both are right equally often"]
    losses: Annotated[int, "problems on which label is right less often"]
    probability_of_improvement_percent: Annotated[
        float,
        "chance that a random checkpoint of label is right more often on a random problem"
        " than one of against, ties half",
    ]
    training_seeds_label: Annotated[int, "training seeds of label; 0 for an untrained policy"]
    training_seeds_against: Annotated[int, "training seeds of against; 0 for an untrained policy"]


class PairChecks(TypedDict):
    """Further figures of a pair."""

    correlation: Annotated[
        float, "of the two sides' accuracies over problems; none if one does not vary"
    ]
    sign_flip_p_value: Annotated[
        float, "permutation test over problems; of these checkpoints only, not of the methods"
    ]
    mcnemar_p_value: Annotated[
        float,
        "McNemar's exact test; of these checkpoints only; none unless each side is one"
        " checkpoint with one answer to every problem of one benchmark",
    ]
    bootstrap_low_points: Annotated[
        float,
        "lower end of the 95% bootstrap interval of difference_points, a check on"
        " low_points; too narrow with few training seeds",
    ]
    bootstrap_high_points: Annotated[float, "upper end of that interval"]


class CheckedPairRow(PairRow, PairChecks):
    """A pair on a benchmark with its further figures."""


PAIRWISE = meanings(PairRow)
FAMILIES = ("primary", "secondary", "exploratory")


@dataclass(frozen=True)
class Pair:
    """`declared`: compared because it was asked for beforehand, not because it can be."""

    label: str
    against: str
    declared: bool


def pairs_of(panel: Panel, baseline: str, reference: str, among_untrained: bool) -> list[Pair]:
    """The pairs of a model's labels, declared ones first, each of two labels in one direction.

    Declared: every trained label (and every other one, `among_untrained`) against the baseline, and
    every trained label against the reference. Of the rest, those with a trained side, or all.
    """
    trained = panel.trained
    found: dict[frozenset[str], Pair] = {}
    for against in (name for name in (baseline, reference) if name in panel.labels):
        asked = among_untrained and against == baseline
        for label in panel.labels:
            if label != against and (trained(label) or asked):
                found.setdefault(frozenset((label, against)), Pair(label, against, True))
    for one, other in itertools.combinations(panel.labels, 2):
        if trained(one) or trained(other) or among_untrained:
            # Untrained labels come first: a method is compared with a decoding of its base.
            label, against = (other, one) if trained(other) > trained(one) else (one, other)
            found.setdefault(frozenset((one, other)), Pair(label, against, False))
    return list(found.values())


def pair_rows(
    panel: Panel, pairs: Sequence[Pair], resampled: Resampled
) -> Iterator[CheckedPairRow]:
    """A row for every benchmark that both have, and for the mean if they have them all,
    without Holm's p-value."""
    flipped = _flipped(panel, pairs)
    for pair in pairs:
        for name, benchmarks in panel.rows(_shared(panel, pair)):
            sides = [
                (panel.entries[pair.label, benchmark], panel.entries[pair.against, benchmark])
                for benchmark in benchmarks
            ]
            means = [flipped[pair, benchmark] for benchmark in benchmarks]
            declared = "primary" if name == MACRO else "secondary"
            family = declared if pair.declared else "exploratory"
            yield _row(name, family, sides, means, resampled)


def with_holm(table: pd.DataFrame) -> pd.DataFrame:
    """Adjusts the p-values of each family, over all rows of the table that belong to it."""
    for family in FAMILIES:
        members = table["family"] == family
        table.loc[members, "holm_p_value"] = holm(table.loc[members, "p_value"])
    return table


def _shared(panel: Panel, pair: Pair) -> list[str]:
    labels = (pair.label, pair.against)
    return [b for b in panel.benchmarks if all((name, b) in panel.entries for name in labels)]


def _gaps(entry: Entry, other: Entry) -> Table:
    """(problems,) differences of per-problem means, training seeds averaged.

    From whole numbers: equal shares differ by zero exactly.
    """
    size = entry.samples * len(entry.training_seeds)
    other_size = other.samples * len(other.training_seeds)
    right, other_right = entry.correct_counts.sum(axis=0), other.correct_counts.sum(axis=0)
    gaps: Table = (right * other_size - other_right * size) / (size * other_size)
    return gaps


def _flipped(panel: Panel, pairs: Sequence[Pair]) -> dict[tuple[Pair, str], Table]:
    """(flips,) sign-flipped means of each pair and benchmark."""
    found = {}
    for benchmark in panel.benchmarks:
        having = [pair for pair in pairs if benchmark in _shared(panel, pair)]
        if having:
            entries = panel.entries
            gaps = [
                _gaps(entries[p.label, benchmark], entries[p.against, benchmark]) for p in having
            ]
            means = sign_flipped_means(np.array(gaps), benchmark)
            found.update(
                {(p, benchmark): column for p, column in zip(having, means.T, strict=True)}
            )
    return found


def _row(
    benchmark: str,
    family: str,
    sides: Sequence[tuple[Entry, Entry]],
    flipped: Sequence[Table],
    resampled: Resampled,
) -> CheckedPairRow:
    ours, theirs = zip(*sides, strict=True)
    estimate = headline_difference([e.table for e in ours], [e.table for e in theirs])
    gaps = np.concatenate([_gaps(*side) for side in sides])
    low, high = _bootstrap_interval(sides, resampled)
    return {
        "model": ours[0].model,
        "label": ours[0].label,
        "against": theirs[0].label,
        "benchmark": benchmark,
        "problems": len(gaps),
        "difference_points": 100 * estimate.value,
        "low_points": 100 * estimate.low,
        "high_points": 100 * estimate.high,
        "standard_error_points": 100 * estimate.standard_error,
        "degrees_of_freedom": estimate.degrees_of_freedom,
        "p_value": estimate.p_value,
        "holm_p_value": math.nan,
        "family": family,
        "minimum_detectable_points": 100 * estimate.minimum_detectable,
        "correlation": float(np.mean([_correlation(*side) for side in sides])),
        "wins": int((gaps > 0).sum()),
        "ties": int((gaps == 0).sum()),
        "losses": int((gaps < 0).sum()),
        "probability_of_improvement_percent": 100
        * float(np.mean([_improvement(*side) for side in sides])),
        "sign_flip_p_value": permutation_p_value(estimate.value, np.mean(flipped, axis=0)),
        "mcnemar_p_value": _mcnemar(*sides[0]) if len(sides) == 1 else math.nan,
        "bootstrap_low_points": 100 * low,
        "bootstrap_high_points": 100 * high,
        "training_seeds_label": ours[0].number_of_training_seeds,
        "training_seeds_against": theirs[0].number_of_training_seeds,
    }


def _bootstrap_interval(
    sides: Sequence[tuple[Entry, Entry]], resampled: Resampled
) -> tuple[float, float]:
    means = resampled.means
    gaps = [means[e.label, e.benchmark] - means[o.label, o.benchmark] for e, o in sides]
    return percentile_interval(np.mean(gaps, axis=0))


def _correlation(entry: Entry, other: Entry) -> float:
    """Pearson's, of the two sides' per-problem means; NaN where one side has no variation."""
    one, two = entry.table.mean(axis=0), other.table.mean(axis=0)
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(two) == 0:
        return math.nan
    return float(np.corrcoef(one, two)[0, 1])


def _improvement(entry: Entry, other: Entry) -> float:
    """Chance that, on a random problem, a random checkpoint is right more often than the other's.

    Ties count half. (Agarwal et al., arXiv 2108.13264, problems in the place of tasks. Of single
    answers the chance would be a half plus half the difference, which says nothing new.)
    """
    one = entry.correct_counts[:, None, :] * other.samples
    two = other.correct_counts[None, :, :] * entry.samples
    return float(((one > two) + 0.5 * (one == two)).mean())


def _mcnemar(entry: Entry, other: Entry) -> float:
    """NaN unless each side is one checkpoint with one answer to every problem."""
    single = all(e.samples == 1 and len(e.training_seeds) == 1 for e in (entry, other))
    if not single:
        return math.nan
    return mcnemar_p_value(entry.correct_counts[0] > 0, other.correct_counts[0] > 0)
