"""Intervals and tests for means over problems, with training seeds as an error of their own.

A table is an array (training seeds, problems) of a policy's per-problem means; an untrained policy
and one with a single seed have one row. Functions that take several tables, one a benchmark, speak
of the unweighted mean over benchmarks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.multitest import multipletests

Table = npt.NDArray[np.float64]
_POWER_80_PERCENT = 1.96 + 0.84


@dataclass(frozen=True)
class Estimate:
    """A mean with what is known of its error, all in the unit of the tables.

    `low` and `high` bound the two-sided 95% interval of Student's t; `p_value` is that t's against
    zero. Everything but `value` is NaN where a single problem leaves the error unknown.
    """

    value: float
    standard_error: float
    degrees_of_freedom: float
    low: float
    high: float
    p_value: float

    @property
    def minimum_detectable(self) -> float:
        """The true difference that would be found significant at 5% in 80 of 100 comparisons."""
        return _POWER_80_PERCENT * self.standard_error


@dataclass(frozen=True)
class _Component:
    """One independent part of a variance, with the degrees of freedom it was estimated on."""

    variance: float
    degrees_of_freedom: float


def clustered_mean(means: npt.ArrayLike) -> Estimate:
    """Mean of per-problem means (problems,), its error clustered by problem."""
    values = np.asarray(means, dtype=float)
    return _estimate(float(values.mean()), [_over_problems(values)])


def paired_difference(means: npt.ArrayLike, against: npt.ArrayLike) -> Estimate:
    """Mean of `means - against`, both (problems,) over the same problems in the same order."""
    return clustered_mean(np.asarray(means, dtype=float) - np.asarray(against, dtype=float))


def headline_mean(tables: Sequence[Table]) -> Estimate:
    """Mean of a method over fresh problems and fresh training seeds; one table a benchmark."""
    return _headline([table.mean(axis=0) for table in tables], [tables])


def headline_difference(tables: Sequence[Table], against: Sequence[Table]) -> Estimate:
    """Difference of two methods, paired on problems, over fresh problems and training seeds.

    Its variance is that of the paired differences over problems (seeds averaged), plus for each
    method what its training seeds vary beyond what the same differences hold already.
    """
    paired = [
        table.mean(axis=0) - other.mean(axis=0)
        for table, other in zip(tables, against, strict=True)
    ]
    return _headline(paired, [tables, against])


def holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Holm's adjustment over the family of all p-values given; NaN, no test, stays out of it."""
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full(p.shape, math.nan)
    known = ~np.isnan(p)
    if known.any():
        adjusted[known] = multipletests(p[known], method="holm")[1]
    return adjusted


def seed_standard_deviation(tables: Sequence[Table]) -> float:
    """Of the per-seed means (over benchmarks); NaN with fewer than two seeds."""
    means = _seed_means(tables)
    return float(means.std(ddof=1)) if len(means) > 1 else math.nan


def _headline(over_problems: Sequence[Table], methods: Sequence[Sequence[Table]]) -> Estimate:
    weight = 1 / len(over_problems)
    components = [_scaled(_over_problems(values), weight) for values in over_problems]
    components += [_over_seeds(tables) for tables in methods if len(tables[0]) > 1]
    return _estimate(weight * math.fsum(float(v.mean()) for v in over_problems), components)


def _over_problems(values: Table) -> _Component:
    """Variance of the mean of (problems,) values; unknown for a single problem."""
    n = len(values)
    variance = float(values.var(ddof=1)) / n if n > 1 else math.nan
    return _Component(variance, n - 1)


def _over_seeds(tables: Sequence[Table]) -> _Component:
    """What training seeds add to the variance of a method's mean: max(0, s^2 - MSR / n) / S.

    s^2 is the variance of per-seed means. MSR, the residual mean square of the problem x seed
    table, is noise that the differences over problems hold already.
    """
    seeds = len(tables[0])
    between = float(_seed_means(tables).var(ddof=1))
    noise = math.fsum(_residual_mean_square(t) / t.shape[1] for t in tables) / len(tables) ** 2
    return _Component(max(0.0, between - noise) / seeds, seeds - 1)


def _seed_means(tables: Sequence[Table]) -> Table:
    means: Table = np.mean([table.mean(axis=1) for table in tables], axis=0)
    return means


def _residual_mean_square(table: Table) -> float:
    seeds, problems = table.shape
    if problems == 1:
        return math.nan
    residual = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    return float((residual**2).sum() / ((seeds - 1) * (problems - 1)))


def _scaled(component: _Component, weight: float) -> _Component:
    return _Component(component.variance * weight**2, component.degrees_of_freedom)


def _estimate(value: float, components: Sequence[_Component]) -> Estimate:
    """Student's interval on the sum of the components, with Satterthwaite's degrees of freedom."""
    variance = math.fsum(part.variance for part in components)
    if math.isnan(variance):
        return Estimate(value, *[math.nan] * 5)
    error = math.sqrt(variance)
    if error == 0:
        freedom = math.fsum(part.degrees_of_freedom for part in components)
        return Estimate(value, 0.0, freedom, value, value, 1.0 if value == 0 else 0.0)
    spread = math.fsum(part.variance**2 / part.degrees_of_freedom for part in components)
    freedom = variance**2 / spread
    reach = float(stats.t.ppf(0.975, freedom)) * error
    p_value = 2 * float(stats.t.sf(abs(value) / error, freedom))
    return Estimate(value, error, freedom, value - reach, value + reach, p_value)
