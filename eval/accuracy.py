"""Rows of single labels: how often right and how, over all training seeds and for each."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats

from eval import metrics
from eval.bootstrap import Resampled, percentile_interval
from eval.entries import Entry
from eval.panel import MACRO, Panel
from eval.statistics import clustered_mean, headline_mean, seed_standard_deviation

COMPARISON = [
    "model",
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
    "pass_at_k_percent",
    "maj_at_k_percent",
    "truncated_percent",
    "no_answer_percent",
    "verifier_timeout_percent",
    "mean_reward",
    "mean_tokens",
    "distinct_answers",
    "token_entropy_nats",
]
SEEDS = [
    "model",
    "label",
    "training_seed",
    "benchmark",
    "problems",
    "samples_per_problem",
    "avg_at_k_percent",
    "standard_error_points",
    "pass_at_k_percent",
    "maj_at_k_percent",
    "truncated_percent",
    "no_answer_percent",
    "mean_tokens",
    "token_entropy_nats",
]


class Accuracy:
    """The rows of one label, its figures worked out once for both tables."""

    def __init__(self, panel: Panel, label: str, resampled: Resampled) -> None:
        self._resampled = resampled
        self._entries = panel.of(label)
        self._is_whole = panel.is_whole(label)

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for every benchmark, and for the mean over them if the label has them all:
        COMPARISON and the label's checks."""
        for entry, figures in zip(self._entries, self._figures, strict=True):
            means = _means(figures)
            yield {**_over_seeds([entry], self._resampled), **means, "benchmark": entry.benchmark}
        if self._is_whole:
            yield {
                **_over_seeds(self._entries, self._resampled),
                **_means([one for figures in self._figures for one in figures]),
                "benchmark": MACRO,
            }

    def seed_rows(self) -> Iterator[dict[str, Any]]:
        """For every training seed what `rows` has for all of them."""
        for number, seed in enumerate(self._entries[0].training_seeds):
            about = {"training_seed": seed}
            for entry, figures in zip(self._entries, self._figures, strict=True):
                row = {**_of_seed([entry], number), **figures[number]}
                yield {**row, **about, "benchmark": entry.benchmark}
            if self._is_whole:
                means = _means([figures[number] for figures in self._figures])
                yield {**_of_seed(self._entries, number), **means, **about, "benchmark": MACRO}

    @cached_property
    def _figures(self) -> list[list[dict[str, float]]]:
        """By benchmark and training seed."""
        return [
            [_figures(entry, number) for number in range(len(entry.grids))]
            for entry in self._entries
        ]


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
