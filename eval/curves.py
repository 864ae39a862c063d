"""Rows of curves: pass@k over k, and the share of problems over the accuracy reached on them."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from eval.accuracy import mean_pass_at_k
from eval.entries import Entry
from eval.panel import MACRO, Panel
from eval.statistics import headline_mean

PASS_AT_K = [
    "model",
    "label",
    "benchmark",
    "k",
    "pass_at_k_percent",
    "low_percent",
    "high_percent",
]
PROFILE = ["model", "label", "benchmark", "threshold_percent", "problems_percent"]
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
