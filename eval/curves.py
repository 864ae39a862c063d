"""Rows of curves: pass@k over k, and the share of problems over the accuracy reached on them."""

import math
from collections.abc import Iterator
from typing import Annotated, TypedDict

import numpy as np

from eval.columns import BenchmarkName, meanings
from eval.label_rows import mean_pass_at_k
from eval.model_table import Panel
from eval.statistics import headline_mean


class PassAtKRow(TypedDict):
    """pass@k of a label."""

    model: Annotated[str, "the base model that the policy comes from"]
    label: Annotated[str, "policy and its decoding: the untouched base, or a method"]
    benchmark: BenchmarkName
    k: Annotated[int, "1, 2, 4, ... and the number of samples"]
    pass_at_k_percent: Annotated[
        float, "chance that at least one of k samples is correct (unbiased)"
    ]
    low_percent: Annotated[float, "lower end of its 95% interval over problems and training seeds"]
    high_percent: Annotated[float, "upper end of that interval"]


class ProfileRow(TypedDict):
    """A point of the performance profile of a label."""

    model: Annotated[str, "the base model that the policy comes from"]
    label: Annotated[str, "policy and its decoding: the untouched base, or a method"]
    benchmark: BenchmarkName
    threshold_percent: Annotated[float, "share of a problem's samples that are correct"]
    problems_percent: Annotated[
        float, "problems on which at least that share is, mean over training seeds"
    ]


PASS_AT_K = meanings(PassAtKRow)
PROFILE = meanings(ProfileRow)
_MOST_THRESHOLDS = 20


def pass_at_k_rows(panel: Panel, label: str) -> Iterator[PassAtKRow]:
    """For k = 1, 2, 4, ... and the number of samples; macro where every benchmark has that k."""
    for benchmark, entries in panel.rows_of(label):
        for k in sorted(set.intersection(*(_points(entry.samples) for entry in entries))):
            estimate = headline_mean([mean_pass_at_k(entry, k) for entry in entries])
            yield {
                "model": panel.model,
                "label": label,
                "benchmark": benchmark,
                "k": k,
                "pass_at_k_percent": 100 * estimate.value,
                "low_percent": 100 * float(np.clip(estimate.low, 0, 1)),
                "high_percent": 100 * float(np.clip(estimate.high, 0, 1)),
            }


def profile_rows(panel: Panel, label: str) -> Iterator[ProfileRow]:
    """Share of problems with at least that accuracy, mean over training seeds (and benchmarks)."""
    for benchmark, entries in panel.rows_of(label):
        fewest = min(entry.samples for entry in entries)
        parts = min(fewest, _MOST_THRESHOLDS)
        for correct in sorted({math.ceil(fewest * n / parts) for n in range(1, parts + 1)}):
            # In whole numbers: a share such as 3/10 has no exact floating-point value.
            shares = [
                float((entry.correct_counts * fewest >= correct * entry.samples).mean())
                for entry in entries
            ]
            yield {
                "model": panel.model,
                "label": label,
                "benchmark": benchmark,
                "threshold_percent": 100 * correct / fewest,
                "problems_percent": 100 * float(np.mean(shares)),
            }


def _points(samples: int) -> set[int]:
    return {*(2**power for power in range(samples.bit_length())), samples}
