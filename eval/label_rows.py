"""Rows of single labels: how often right and how, over all training seeds and for each."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from eval import metrics
from eval.bootstrap import Resampled, percentile_interval
from eval.label_table import Entry
from eval.model_table import Panel
from eval.statistics import clustered_mean, headline_mean, seed_standard_deviation

# Column -> meaning, here and in the other tables of a comparison.
COMPARISON: Mapping[str, str] = {
    "model": "the base model that the policy comes from; nothing is averaged over models",
    "label": "policy and its decoding: the untouched base, or a method",
    "benchmark": "set of held-out problems; macro is the unweighted mean over all of them",
    "temperature": "of sampling; 0 is greedy decoding",
    "problems": "number of problems; their sum in a macro row",
    "samples_per_problem": "k of avg@k and maj@k; the fewest of the benchmarks in a macro row",
    "training_seeds": "seeds the method was trained with; 0 for an untrained policy",
    "avg_at_k_percent": "share of correct samples, mean over problems and training seeds",
    "avg_at_k_low_percent": "lower end of its 95% interval over problems and training seeds",
    "avg_at_k_high_percent": "upper end of that interval",
    "standard_error_points": "of avg@k, clustered by problem, for the checkpoints at hand",
    "training_seed_sd_points": "standard deviation of avg@k between training seeds",
    "pass_at_k_percent": "chance that at least one of the k samples is correct",
    "maj_at_k_percent": "share of problems whose most frequent answer is correct; ties shared",
    "truncated_percent": "samples cut off at the token limit",
    "no_answer_percent": "samples without a final answer that the verifier found",
    "verifier_timeout_percent": "samples that the verifier could not judge in time",
    "mean_reward": "mean of what the verifier gave",
    "mean_tokens": "mean length of a completion in tokens",
    "distinct_answers": "mean number of different answers among a problem's samples",
    "token_entropy_nats": "mean -log p a token; empty unless temperature and top_p are 1",
}
SEEDS: Mapping[str, str] = {
    "model": "the base model that the policy comes from",
    "label": "policy and its decoding: the untouched base, or a method",
    "training_seed": "seed the checkpoint was trained with; empty for an untrained policy",
    "benchmark": "set of held-out problems; macro is the unweighted mean over all of them",
    "problems": "number of problems; their sum in a macro row",
    "samples_per_problem": "k of avg@k, pass@k and maj@k; the fewest in a macro row",
    "avg_at_k_percent": "share of correct samples, mean over problems",
    "standard_error_points": "of avg@k, clustered by problem",
    "pass_at_k_percent": "chance that at least one of the k samples is correct",
    "maj_at_k_percent": "share of problems whose most frequent answer is correct; ties shared",
    "truncated_percent": "samples cut off at the token limit",
    "no_answer_percent": "samples without a final answer that the verifier found",
    "mean_tokens": "mean length of a completion in tokens",
    "token_entropy_nats": "mean -log p a token; empty unless temperature and top_p are 1",
}


class Accuracy:
    """The rows of one label, its figures worked out once for both tables."""

    def __init__(self, panel: Panel, label: str, resampled: Resampled) -> None:
        self._resampled = resampled
        self._rows = list(panel.rows_of(label))
        self._figures = {
            entry.benchmark: [_figures(entry, number) for number in range(len(entry.grids))]
            for entry in panel.of(label)
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for every benchmark, and for the mean over them if the label has them all:
        COMPARISON and the label's checks."""
        for benchmark, entries in self._rows:
            means = _means([one for entry in entries for one in self._figures[entry.benchmark]])
            yield {**_over_seeds(entries, self._resampled), **means, "benchmark": benchmark}

    def seed_rows(self) -> Iterator[dict[str, Any]]:
        """For every training seed what `rows` has for all of them."""
        for number, seed in enumerate(self._rows[0][1][0].training_seeds):
            for benchmark, entries in self._rows:
                means = _means([self._figures[entry.benchmark][number] for entry in entries])
                about = {"training_seed": seed, "benchmark": benchmark}
                yield {**_of_seed(entries, number), **means, **about}


def mean_pass_at_k(entry: Entry, k: int) -> np.ndarray:
    """pass@k of each (training seed, problem)."""
    return np.asarray(metrics.pass_at_k(entry.samples, entry.correct_counts, k))


def _means(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in figures])) for name in figures[0]}


def _about(entries: Sequence[Entry]) -> dict[str, Any]:
    return {
        "model": entries[0].model,
        "label": entries[0].label,
        "problems": sum(len(entry.problem_ids) for entry in entries),
        "samples_per_problem": min(entry.samples for entry in entries),
    }


def _over_seeds(entries: Sequence[Entry], resampled: Resampled) -> dict[str, Any]:
    """avg@k, IQM and pass@k with their errors, of one benchmark or of the mean over several."""
    tables = [entry.table for entry in entries]
    estimate = headline_mean(tables)
    fewest = min(entry.samples for entry in entries)
    drawn = [resampled.interquartile_means[entry.label, entry.benchmark] for entry in entries]
    iqm_low, iqm_high = percentile_interval(np.mean(drawn, axis=0))
    return {
        **_about(entries),
        "training_seeds": entries[0].number_of_training_seeds,
        "avg_at_k_percent": 100 * estimate.value,
        "avg_at_k_low_percent": 100 * float(np.clip(estimate.low, 0, 1)),
        "avg_at_k_high_percent": 100 * float(np.clip(estimate.high, 0, 1)),
        "standard_error_points": 100 * _problem_error([table.mean(axis=0) for table in tables]),
        "training_seed_sd_points": 100 * seed_standard_deviation(tables),
        "iqm_percent": 100 * float(np.mean([stats.trim_mean(t, 0.25, axis=None) for t in tables])),
        "iqm_low_percent": 100 * iqm_low,
        "iqm_high_percent": 100 * iqm_high,
        "pass_at_k_percent": 100
        * float(np.mean([mean_pass_at_k(entry, fewest).mean() for entry in entries])),
    }


def _of_seed(entries: Sequence[Entry], number: int) -> dict[str, Any]:
    fewest = min(entry.samples for entry in entries)
    return {
        **_about(entries),
        "avg_at_k_percent": 100 * float(np.mean([e.table[number].mean() for e in entries])),
        "standard_error_points": 100 * _problem_error([e.table[number] for e in entries]),
        "pass_at_k_percent": 100
        * float(np.mean([mean_pass_at_k(entry, fewest)[number].mean() for entry in entries])),
    }


def _problem_error(means: Sequence[np.ndarray]) -> float:
    """Standard error of the mean over benchmarks, clustered by problem."""
    return math.hypot(*(clustered_mean(one).standard_error for one in means)) / len(means)


def _figures(entry: Entry, number: int) -> dict[str, float]:
    """What is a mean over training seeds, and over benchmarks in a macro row."""
    grid = entry.grids[number]
    return {
        "temperature": entry.temperature,
        "maj_at_k_percent": 100 * metrics.maj_share(grid),
        "truncated_percent": 100 * metrics.truncated_share(grid),
        "no_answer_percent": 100 * metrics.no_answer_share(grid),
        "verifier_timeout_percent": 100 * metrics.verifier_timeout_share(grid),
        "mean_reward": metrics.mean_reward(grid),
        "mean_tokens": metrics.mean_tokens(grid),
        "distinct_answers": metrics.distinct_answers(grid),
        "token_entropy_nats": metrics.token_entropy(grid, entry.temperature, entry.top_p),
    }
