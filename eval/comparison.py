"""Evaluations side by side: the table of all labels, and the table of all pairs."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from eval import metrics
from eval.evaluation import Evaluation
from eval.panel import MACRO, Entry, Panel, arrange
from eval.statistics import (
    Estimate,
    clustered_mean,
    headline_difference,
    headline_mean,
    holm,
    seed_standard_deviation,
)

_LEADING = [
    "label",
    "benchmark",
    "temperature",
    "problems",
    "samples_per_problem",
    "training_seeds",
    "avg_at_k_percent",
    "avg_at_k_low_percent",
    "avg_at_k_high_percent",
    "standard_error_points",
    "training_seed_sd_points",
]
_TRAILING = [
    "maj_at_k_percent",
    "truncated_percent",
    "no_answer_percent",
    "verifier_timeout_percent",
    "mean_reward",
    "mean_tokens",
    "distinct_answers",
    "token_entropy_nats",
]
_PAIRWISE = [
    "label",
    "against",
    "benchmark",
    "problems",
    "difference_points",
    "low_points",
    "high_points",
    "standard_error_points",
    "degrees_of_freedom",
    "p_value",
    "holm_p_value",
    "family",
    "minimum_detectable_points",
    "wins",
    "ties",
    "losses",
    "training_seeds_label",
    "training_seeds_against",
]


@dataclass(frozen=True)
class Comparison:
    """`comparison`: a row for every label and benchmark. `pairwise`: one for every pair of labels
    and benchmark. Rows of the benchmark "macro" are unweighted means over benchmarks. `notes` say
    in words what a reader must know. offline_rl.report.columns says what the columns mean.
    """

    comparison: pd.DataFrame
    pairwise: pd.DataFrame
    notes: tuple[str, ...]


def compare(
    evaluations: Sequence[Evaluation],
    *,
    baseline: str = "base",
    reference: str = "rft",
    labels: Sequence[str] | None = None,
    benchmarks: Sequence[str] | None = None,
) -> Comparison:
    """Compares every trained label with `baseline` and with `reference`, paired on problems.

    Order of rows: the baseline, other untrained labels, trained ones, each by `labels` (then
    alphabetically); benchmarks by `benchmarks` (then alphabetically), macro last. A label that is
    not there has no rows. Raises DataError where problems, samples or seeds do not match.
    """
    panel = arrange(evaluations, baseline=baseline, labels=labels, benchmarks=benchmarks)
    rows = [row for label in panel.labels for row in _label_rows(panel, label)]
    others = [name for name in (baseline, reference) if name in panel.labels]
    pairs = [
        (label, against)
        for against in dict.fromkeys(others)
        for label in panel.labels
        if panel.trained(label) and label != against
    ]
    table = pd.DataFrame([row for pair in pairs for row in _pair_rows(panel, *pair)])
    return Comparison(
        comparison=pd.DataFrame(rows, columns=_columns(panel)),
        pairwise=_with_families(table) if pairs else pd.DataFrame(columns=_PAIRWISE),
        notes=tuple(_notes(panel, baseline, reference)),
    )


def _columns(panel: Panel) -> list[str]:
    return [*_LEADING, *(_pass_column(k) for k in _powers_of_two(panel)), *_TRAILING]


def _pass_column(k: int) -> str:
    return f"pass_at_{k}_percent"


def _powers_of_two(panel: Panel) -> list[int]:
    most = max(entry.samples for entry in panel.entries.values())
    return [2**power for power in range(most.bit_length())]


def _label_rows(panel: Panel, label: str) -> Iterator[dict[str, Any]]:
    entries = panel.of(label)
    powers = _powers_of_two(panel)
    figures = [_figures(entry, powers) for entry in entries]
    for entry, values in zip(entries, figures, strict=True):
        yield {**_accuracy([entry]), **values, "benchmark": entry.benchmark}
    if panel.is_whole(label):
        means = {name: float(np.mean([f[name] for f in figures])) for name in figures[0]}
        yield {**_accuracy(entries), **means, "benchmark": MACRO}


def _accuracy(entries: Sequence[Entry]) -> dict[str, Any]:
    """avg@k with its errors, of one benchmark or of the mean over several."""
    tables = [entry.table for entry in entries]
    estimate = headline_mean(tables)
    problem_errors = [clustered_mean(table.mean(axis=0)).standard_error for table in tables]
    return {
        "label": entries[0].label,
        "problems": sum(len(entry.problem_ids) for entry in entries),
        "samples_per_problem": min(entry.samples for entry in entries),
        "training_seeds": _trained_seeds(entries[0]),
        "avg_at_k_percent": 100 * estimate.value,
        "avg_at_k_low_percent": 100 * float(np.clip(estimate.low, 0, 1)),
        "avg_at_k_high_percent": 100 * float(np.clip(estimate.high, 0, 1)),
        "standard_error_points": 100 * math.hypot(*problem_errors) / len(tables),
        "training_seed_sd_points": 100 * seed_standard_deviation(tables),
    }


def _figures(entry: Entry, powers: Sequence[int]) -> dict[str, float]:
    """The figures that are means over training seeds, and over benchmarks in a macro row."""

    def mean(figure: Callable[[pd.DataFrame], float]) -> float:
        return float(np.mean([figure(grid) for grid in entry.grids]))

    passes = {
        _pass_column(k): 100
        * float(metrics.pass_at_k(entry.samples, entry.correct_counts, k).mean())
        if k <= entry.samples
        else math.nan
        for k in powers
    }
    return {
        "temperature": entry.temperature,
        **passes,
        "maj_at_k_percent": 100 * mean(metrics.maj_share),
        "truncated_percent": 100 * mean(metrics.truncated_share),
        "no_answer_percent": 100 * mean(metrics.no_answer_share),
        "verifier_timeout_percent": 100 * mean(metrics.verifier_timeout_share),
        "mean_reward": mean(metrics.mean_reward),
        "mean_tokens": mean(metrics.mean_tokens),
        "distinct_answers": mean(metrics.distinct_answers),
        "token_entropy_nats": mean(lambda grid: metrics.token_entropy(grid, entry.temperature)),
    }


def _pair_rows(panel: Panel, label: str, against: str) -> Iterator[dict[str, Any]]:
    shared = [b for b in panel.benchmarks if {(label, b), (against, b)} <= panel.entries.keys()]
    ours = [panel.entries[label, benchmark] for benchmark in shared]
    theirs = [panel.entries[against, benchmark] for benchmark in shared]
    for entry, other in zip(ours, theirs, strict=True):
        yield {**_pair([entry], [other]), "benchmark": entry.benchmark, "family": "secondary"}
    if len(shared) == len(panel.benchmarks):
        yield {**_pair(ours, theirs), "benchmark": MACRO, "family": "primary"}


def _pair(ours: Sequence[Entry], theirs: Sequence[Entry]) -> dict[str, Any]:
    estimate: Estimate = headline_difference([e.table for e in ours], [e.table for e in theirs])
    gaps = np.concatenate(
        [e.table.mean(axis=0) - o.table.mean(axis=0) for e, o in zip(ours, theirs, strict=True)]
    )
    ties = np.isclose(gaps, 0, atol=1e-12)
    return {
        "label": ours[0].label,
        "against": theirs[0].label,
        "problems": len(gaps),
        "difference_points": 100 * estimate.value,
        "low_points": 100 * estimate.low,
        "high_points": 100 * estimate.high,
        "standard_error_points": 100 * estimate.standard_error,
        "degrees_of_freedom": estimate.degrees_of_freedom,
        "p_value": estimate.p_value,
        "minimum_detectable_points": 100 * estimate.minimum_detectable,
        "wins": int((~ties & (gaps > 0)).sum()),
        "ties": int(ties.sum()),
        "losses": int((~ties & (gaps < 0)).sum()),
        "training_seeds_label": _trained_seeds(ours[0]),
        "training_seeds_against": _trained_seeds(theirs[0]),
    }


def _with_families(table: pd.DataFrame) -> pd.DataFrame:
    table["holm_p_value"] = math.nan
    for family in ("primary", "secondary"):
        members = table["family"] == family
        table.loc[members, "holm_p_value"] = holm(table.loc[members, "p_value"])
    return table[_PAIRWISE]


def _trained_seeds(entry: Entry) -> int:
    return len(entry.training_seeds) if entry.trained else 0


def _notes(panel: Panel, baseline: str, reference: str) -> Iterator[str]:
    single = [n for n in panel.labels if panel.trained(n) and len(panel.of(n)[0].grids) == 1]
    if single:
        yield (
            f"One training seed only ({', '.join(single)}): these figures speak of the checkpoints"
            " at hand, not of the methods. Train with three seeds or more."
        )
    for role, name in (("baseline", baseline), ("reference", reference)):
        if name not in panel.labels:
            yield f"The {role} {name} was not evaluated, so there are no pairs against it."
    for label in panel.labels:
        if not panel.is_whole(label):
            have = {entry.benchmark for entry in panel.of(label)}
            lacking = ", ".join(b for b in panel.benchmarks if b not in have)
            yield f"{label} was not evaluated on {lacking}, so it has no macro average."
    for label, benchmark in sorted(panel.entries):
        table = panel.entries[label, benchmark].table
        if table.shape[1] == 1:
            yield f"{benchmark} has a single problem, so {label} has no interval there."
        elif np.ptp(table) == 0:
            yield (
                f"{label} on {benchmark}: all problems have the same accuracy, so the interval has"
                " no width. That is no certainty: other problems may differ."
            )
