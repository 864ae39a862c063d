"""Rows of curves: pass@k over k, and the share of problems over the accuracy reached on them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from eval.accuracy import mean_pass_at_k
from eval.entries import Entry
from eval.panel import MACRO, Panel
from eval.statistics import headline_mean

PASS_AT_K: Mapping[str, str] = {
    "model": "the base model that the policy comes from",
    "label": "policy and its decoding: the untouched base, or a method",
    "benchmark": "set of held-out problems; macro is the unweighted mean over all of them",
    "k": "1, 2, 4, ... and the number of samples",
    "pass_at_k_percent": "chance that at least one of k samples is correct (unbiased)",
    "low_percent": "lower end of its 95% interval over problems and training seeds",
    "high_percent": "upper end of that interval",
}
PROFILE: Mapping[str, str] = {
    "model": "the base model that the policy comes from",
    "label": "policy and its decoding: the untouched base, or a method",
    "benchmark": "set of held-out problems; macro is the unweighted mean over all of them",
    "threshold_percent": "share of a problem's samples that are correct",
    "problems_percent": "problems on which at least that share is, mean over training seeds",
}
_MOST_THRESHOLDS = 20


def pass_at_k_rows(panel: Panel, label: str) -> Iterator[dict[str, Any]]:
    """For k = 1, 2, 4, ... and the number of samples; macro where every benchmark has that k."""
    entries = panel.of(label)
    for entry in entries:
        yield from _passes([entry], _points(entry.samples), entry.benchmark)
    if panel.is_whole(label):
        shared = set.intersection(*(set(_points(entry.samples)) for entry in entries))
        yield from _passes(entries, sorted(shared), MACRO)


def profile_rows(panel: Panel, label: str) -> Iterator[dict[str, Any]]:
    """Share of problems with at least that accuracy, mean over training seeds (and benchmarks)."""
    entries = panel.of(label)
    for entry in entries:
        yield from _shares([entry], entry.benchmark)
    if panel.is_whole(label):
        yield from _shares(entries, MACRO)


def _points(samples: int) -> list[int]:
    return sorted({*(2**power for power in range(samples.bit_length())), samples})


def _passes(
    entries: Sequence[Entry], points: Sequence[int], benchmark: str
) -> Iterator[dict[str, Any]]:
    for k in points:
        estimate = headline_mean([mean_pass_at_k(entry, k) for entry in entries])
        yield {
            "model": entries[0].model,
            "label": entries[0].label,
            "benchmark": benchmark,
            "k": k,
            "pass_at_k_percent": 100 * estimate.value,
            "low_percent": 100 * float(np.clip(estimate.low, 0, 1)),
            "high_percent": 100 * float(np.clip(estimate.high, 0, 1)),
        }


def _shares(entries: Sequence[Entry], benchmark: str) -> Iterator[dict[str, Any]]:
    fewest = min(entry.samples for entry in entries)
    thresholds = min(fewest, _MOST_THRESHOLDS)
    for correct in sorted({math.ceil(fewest * n / thresholds) for n in range(1, thresholds + 1)}):
        # In whole numbers: a share such as 3/10 has no exact floating-point value.
        shares = [
            float((entry.correct_counts * fewest >= correct * entry.samples).mean())
            for entry in entries
        ]
        yield {
            "model": entries[0].model,
            "label": entries[0].label,
            "benchmark": benchmark,
            "threshold_percent": 100 * correct / fewest,
            "problems_percent": 100 * float(np.mean(shares)),
        }
