"""Tests of given checkpoints against each other: whole problems flipped, or counted."""

import numpy as np
import numpy.typing as npt

from eval.bootstrap import seeded_generator
from eval.statistics import Table

FLIPS = 10_000
_CELLS_AT_ONCE = 2_000_000
# Means that differ by rounding alone are equal.
_RELATIVE_TOLERANCE = 1e-9


def sign_flipped_means(gaps: Table, name: str, *, flips: int = FLIPS, seed: int = 0) -> Table:
    """(flips, pairs) means of (pairs, problems) gaps whose signs were flipped at random.

    A problem is flipped as a whole and for all pairs alike. What is flipped depends on `seed` and
    on `name`, the benchmark's, alone.
    """
    generator = seeded_generator(seed, name)
    problems = gaps.shape[1]
    step = max(1, _CELLS_AT_ONCE // problems)
    pieces = []
    for start in range(0, flips, step):
        rows = min(step, flips - start)
        signs = 2.0 * generator.integers(2, size=(rows, problems), dtype=np.int8) - 1.0
        pieces.append(signs @ gaps.T / problems)
    return np.concatenate(pieces)


def permutation_p_value(observed: float, flipped: npt.NDArray[np.float64]) -> float:
    """Two-sided: (1 + #{|T*| >= |T|}) / (B + 1), which is never zero."""
    reached = np.abs(flipped) >= abs(observed) * (1 - _RELATIVE_TOLERANCE)
    return float(1 + reached.sum()) / (len(flipped) + 1)


def mcnemar_p_value(right: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """McNemar's exact two-sided test of one answer to each problem (problems,) on both sides."""
    from statsmodels.stats.contingency_tables import mcnemar

    table = [
        [int((right & other).sum()), int((right & ~other).sum())],
        [int((~right & other).sum()), int((~right & ~other).sum())],
    ]
    return float(mcnemar(table, exact=True).pvalue)
