"""Rows of single labels: how often right and how, over all training seeds and for each."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple, TypedDict

import numpy as np
from scipy import stats

from eval import metrics
from eval.bootstrap import Resampled, percentile_interval
from eval.columns import BenchmarkName, meanings
from eval.label_table import Entry
from eval.model_table import Panel
from eval.statistics import clustered_mean, headline_mean, seed_standard_deviation

_MajAtK = Annotated[float, "share of problems whose most frequent answer is correct; ties shared"]
_TokenEntropy = Annotated[float, "mean -log p a token; empty unless temperature and top_p are 1"]


class LabelRow(TypedDict):
    """A label on a benchmark, over all training seeds."""

    model: Annotated[
        str, "the base model that the policy comes from; nothing is averaged over models"
    ]
    label: Annotated[str, "policy and its decoding: the untouched base, or a method"]
    benchmark: BenchmarkName
    temperature: Annotated[float, "of sampling; 0 is greedy decoding"]
    problems: Annotated[int, "number of problems; their sum in a macro row"]
    samples_per_problem: Annotated[
        int, "k of avg@k and maj@k; the fewest of the benchmarks in a macro row"
    ]
    training_seeds: Annotated[int, "seeds the method was trained with; 0 for an untrained policy"]
    avg_at_k_percent: Annotated[
        float, "share of correct samples, mean over problems and training seeds"
    ]
    avg_at_k_low_percent: Annotated[
        float, "lower end of its 95% interval over problems and training seeds"
    ]
    avg_at_k_high_percent: Annotated[float, "upper end of that interval"]
    standard_error_points: Annotated[
        float, "of avg@k, clustered by problem, for the checkpoints at hand"
    ]
    training_seed_sd_points: Annotated[float, "standard deviation of avg@k between training seeds"]
    pass_at_k_percent: Annotated[float, "chance that at least one of the k samples is correct"]
    maj_at_k_percent: _MajAtK
    truncated_percent: Annotated[float, "samples cut off at the token limit"]
    no_answer_percent: Annotated[float, "samples without a final answer that the verifier found"]
    verifier_timeout_percent: Annotated[float, "samples that the verifier could not judge in time"]
    mean_reward: Annotated[float, "mean of what the verifier gave"]
    mean_tokens: Annotated[float, "mean length of a completion in tokens"]
    distinct_answers: Annotated[float, "mean number of different answers among a problem's samples"]
    token_entropy_nats: _TokenEntropy


class SeedRow(TypedDict):
    """A training seed of a label on a benchmark."""

    model: Annotated[str, "the base model that the policy comes from"]
    label: Annotated[str, "policy and its decoding: the untouched base, or a method"]
    training_seed: Annotated[
        int | None, "seed the checkpoint was trained with; empty for an untrained policy"
    ]
    benchmark: BenchmarkName
    problems: Annotated[int, "number of problems; their sum in a macro row"]
    samples_per_problem: Annotated[int, "k of avg@k, pass@k and maj@k; the fewest in a macro row"]
    avg_at_k_percent: Annotated[float, "share of correct samples, mean over problems"]
    standard_error_points: Annotated[float, "of avg@k, clustered by problem"]
    pass_at_k_percent: Annotated[float, "chance that at least one of the k samples is correct"]
    maj_at_k_percent: _MajAtK
    truncated_percent: Annotated[float, "samples cut off at the token limit"]
    no_answer_percent: Annotated[float, "samples without a final answer that the verifier found"]
    mean_tokens: Annotated[float, "mean length of a completion in tokens"]
    token_entropy_nats: _TokenEntropy


class LabelChecks(TypedDict):
    """Further figures of a label."""

    iqm_percent: Annotated[
        float, "interquartile mean: of the middle half of (training seed, problem) shares"
    ]
    iqm_low_percent: Annotated[
        float, "lower end of its 95% bootstrap interval over problems and seeds"
    ]
    iqm_high_percent: Annotated[float, "upper end of that interval"]


class CheckedLabelRow(LabelRow, LabelChecks):
    """A label on a benchmark with its further figures."""


COMPARISON = meanings(LabelRow)
SEEDS = meanings(SeedRow)


class Figures(NamedTuple):
    """What is a mean over training seeds, and over benchmarks in a macro row."""

    temperature: float
    maj_at_k_percent: float
    truncated_percent: float
    no_answer_percent: float
    verifier_timeout_percent: float
    mean_reward: float
    mean_tokens: float
    distinct_answers: float
    token_entropy_nats: float


class Accuracy:
    """The rows of one label, its figures worked out once for both tables."""

    def __init__(self, panel: Panel, label: str, resampled: Resampled) -> None:
        self._resampled = resampled
        self._rows = list(panel.rows_of(label))
        self._figures = {
            entry.benchmark: [_figures(entry, number) for number in range(len(entry.grids))]
            for entry in panel.of(label)
        }

    def rows(self) -> Iterator[CheckedLabelRow]:
        """A row for every benchmark, and for the mean over them if the label has them all."""
        for benchmark, entries in self._rows:
            means = _means([one for entry in entries for one in self._figures[entry.benchmark]])
            yield _label_row(benchmark, entries, means, self._resampled)

    def seed_rows(self) -> Iterator[SeedRow]:
        """For every training seed what `rows` has for all of them."""
        for number in range(len(self._rows[0][1][0].training_seeds)):
            for benchmark, entries in self._rows:
                means = _means([self._figures[entry.benchmark][number] for entry in entries])
                yield _of_seed(benchmark, entries, means, number)


def mean_pass_at_k(entry: Entry, k: int) -> np.ndarray:
    """pass@k of each (training seed, problem)."""
    return np.asarray(metrics.pass_at_k(entry.samples, entry.correct_counts, k))


def _means(figures: Sequence[Figures]) -> Figures:
    return Figures(*(float(np.mean(one)) for one in zip(*figures, strict=True)))


def _label_row(
    benchmark: str, entries: Sequence[Entry], means: Figures, resampled: Resampled
) -> CheckedLabelRow:
    """avg@k, IQM and pass@k with their errors, of one benchmark or of the mean over several."""
    tables = [entry.table for entry in entries]
    estimate = headline_mean(tables)
    fewest = min(entry.samples for entry in entries)
    drawn = [resampled.interquartile_means[entry.label, entry.benchmark] for entry in entries]
    iqm_low, iqm_high = percentile_interval(np.mean(drawn, axis=0))
    return {
        "model": entries[0].model,
        "label": entries[0].label,
        "benchmark": benchmark,
        "temperature": means.temperature,
        "problems": sum(len(entry.problem_ids) for entry in entries),
        "samples_per_problem": fewest,
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
        "maj_at_k_percent": means.maj_at_k_percent,
        "truncated_percent": means.truncated_percent,
        "no_answer_percent": means.no_answer_percent,
        "verifier_timeout_percent": means.verifier_timeout_percent,
        "mean_reward": means.mean_reward,
        "mean_tokens": means.mean_tokens,
        "distinct_answers": means.distinct_answers,
        "token_entropy_nats": means.token_entropy_nats,
    }


def _of_seed(benchmark: str, entries: Sequence[Entry], means: Figures, number: int) -> SeedRow:
    fewest = min(entry.samples for entry in entries)
    return {
        "model": entries[0].model,
        "label": entries[0].label,
        "training_seed": entries[0].training_seeds[number],
        "benchmark": benchmark,
        "problems": sum(len(entry.problem_ids) for entry in entries),
        "samples_per_problem": fewest,
        "avg_at_k_percent": 100 * float(np.mean([e.table[number].mean() for e in entries])),
        "standard_error_points": 100 * _problem_error([e.table[number] for e in entries]),
        "pass_at_k_percent": 100
        * float(np.mean([mean_pass_at_k(entry, fewest)[number].mean() for entry in entries])),
        "maj_at_k_percent": means.maj_at_k_percent,
        "truncated_percent": means.truncated_percent,
        "no_answer_percent": means.no_answer_percent,
        "mean_tokens": means.mean_tokens,
        "token_entropy_nats": means.token_entropy_nats,
    }


def _problem_error(means: Sequence[np.ndarray]) -> float:
    """Standard error of the mean over benchmarks, clustered by problem."""
    return math.hypot(*(clustered_mean(one).standard_error for one in means)) / len(means)


def _figures(entry: Entry, number: int) -> Figures:
    grid = entry.grids[number]
    return Figures(
        temperature=entry.temperature,
        maj_at_k_percent=100 * metrics.maj_share(grid),
        truncated_percent=100 * metrics.truncated_share(grid),
        no_answer_percent=100 * metrics.no_answer_share(grid),
        verifier_timeout_percent=100 * metrics.verifier_timeout_share(grid),
        mean_reward=metrics.mean_reward(grid),
        mean_tokens=metrics.mean_tokens(grid),
        distinct_answers=metrics.distinct_answers(grid),
        token_entropy_nats=metrics.token_entropy(grid, entry.temperature, entry.top_p),
    )
