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
from scipy import optimize, special

Table = npt.NDArray[np.float64]
# The quantiles of smaller levels are not worth their search.
_SMALLEST = 1e-200


@dataclass(frozen=True)
class Estimate:
    """A mean with what is known of its error, all in the unit of the tables.

    `low` and `high` bound the two-sided 95% interval; `p_value` is 1 less the level at which the
    interval ends at zero. `degrees_of_freedom` are Satterthwaite's, of the standard error.
    `minimum_detectable` is the true difference that would be found significant at 5% in about 80 of
    100 such comparisons: the interval's half width, and above it what chance takes away in 20.
    Everything but `value` is NaN where a single problem leaves the error unknown.
    """

    value: float
    standard_error: float
    degrees_of_freedom: float
    low: float
    high: float
    p_value: float
    minimum_detectable: float


@dataclass(frozen=True)
class _Component:
    """One independent part of a variance, with the degrees of freedom it was estimated on."""

    variance: float
    degrees_of_freedom: float

    def margin(self, level: float) -> float:
        """Half the width of Student's two-sided interval that misses a share `level`."""
        return -float(special.stdtrit(self.degrees_of_freedom, level / 2)) * math.sqrt(
            self.variance
        )


_NOTHING = _Component(0.0, 0.0)


def clustered_mean(means: npt.ArrayLike) -> Estimate:
    """Mean of per-problem means (problems,), its error clustered by problem."""
    values = np.asarray(means, dtype=float)
    return _estimate(float(values.mean()), _over_problems(values), _NOTHING)


def headline_mean(tables: Sequence[Table]) -> Estimate:
    """Mean of a method over fresh problems and fresh training seeds; one table a benchmark."""
    return _headline([table.mean(axis=0) for table in tables], [tables])


def headline_difference(tables: Sequence[Table], against: Sequence[Table]) -> Estimate:
    """Difference of two methods, paired on problems, over fresh problems and training seeds.

    Its variance is that of the paired differences over problems (seeds averaged), plus for each
    method what its training seeds vary beyond what the same differences hold already. The margins
    of the two parts, each by Student's t, add in quadrature (as in Zou and Donner, Statistics in
    Medicine 27, 2008): one t with Satterthwaite's degrees of freedom covers too seldom where few
    seeds happen to lie close together.
    """
    paired = [
        table.mean(axis=0) - other.mean(axis=0)
        for table, other in zip(tables, against, strict=True)
    ]
    return _headline(paired, [tables, against])


def holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Holm's adjustment over the family of all p-values given; NaN, no test, stays out of it.

    Source: Holm, Scandinavian Journal of Statistics 6, 1979. As statsmodels' `multipletests`, which
    collects the garbage of the whole process each time.
    """
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full(p.shape, math.nan)
    # NaN comes last.
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    raised = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1)
    return adjusted


def seed_standard_deviation(tables: Sequence[Table]) -> float:
    """Of the per-seed means (over benchmarks); NaN with fewer than two seeds."""
    means = _seed_means(tables)
    return float(means.std(ddof=1)) if len(means) > 1 else math.nan


def _headline(over_problems: Sequence[Table], methods: Sequence[Sequence[Table]]) -> Estimate:
    weight = 1 / len(over_problems)
    problems = _sum([_over_problems(values, weight) for values in over_problems])
    seeds = _seed_component([tables for tables in methods if len(tables[0]) > 1])
    value = weight * math.fsum(float(values.mean()) for values in over_problems)
    return _estimate(value, problems, seeds)


def _over_problems(values: Table, weight: float = 1.0) -> _Component:
    """Variance of the weighted mean of (problems,) values; unknown for a single problem."""
    n = len(values)
    variance = float(values.var(ddof=1)) / n if n > 1 else math.nan
    return _Component(variance * weight**2, n - 1)


def _seed_component(methods: Sequence[Sequence[Table]]) -> _Component:
    """What training seeds add to the variance, for each method max(0, s^2 - MSR / n) / S.

    s^2 is the variance of per-seed means. MSR, the residual mean square of the problem x seed
    table, is noise that the differences over problems hold already. The degrees of freedom are
    those of the sum of s^2 / S, for noise taken off makes no estimate surer.
    """
    observed, added = [], 0.0
    for tables in methods:
        seeds = len(tables[0])
        between = float(_seed_means(tables).var(ddof=1))
        squares = [_residual_mean_square(table) / table.shape[1] for table in tables]
        noise = math.fsum(squares) / len(tables) ** 2
        observed.append(_Component(between / seeds, seeds - 1))
        added += max(0.0, between - noise) / seeds
    return _Component(added, _sum(observed).degrees_of_freedom)


def _seed_means(tables: Sequence[Table]) -> Table:
    means: Table = np.mean([table.mean(axis=1) for table in tables], axis=0)
    return means


def _residual_mean_square(table: Table) -> float:
    seeds, problems = table.shape
    if problems == 1:
        return math.nan
    residual = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    return float((residual**2).sum() / ((seeds - 1) * (problems - 1)))


def _sum(components: Sequence[_Component]) -> _Component:
    """The variances' sum, with Satterthwaite's degrees of freedom."""
    variance = math.fsum(part.variance for part in components)
    if math.isnan(variance):
        return _Component(math.nan, math.nan)
    if variance == 0:
        return _Component(0.0, math.fsum(part.degrees_of_freedom for part in components))
    spread = math.fsum(
        part.variance**2 / part.degrees_of_freedom for part in components if part.variance
    )
    return _Component(variance, variance**2 / spread)


def _estimate(value: float, problems: _Component, seeds: _Component) -> Estimate:
    whole = _sum([problems, seeds])
    if math.isnan(whole.variance):
        return Estimate(value, *[math.nan] * 6)
    parts = [part for part in (problems, seeds) if part.variance > 0]
    reach = math.hypot(*(part.margin(0.05) for part in parts))
    return Estimate(
        value=value,
        standard_error=math.sqrt(whole.variance),
        degrees_of_freedom=whole.degrees_of_freedom,
        low=value - reach,
        high=value + reach,
        p_value=_p_value(abs(value), parts),
        minimum_detectable=reach + math.hypot(*(part.margin(0.4) for part in parts)),
    )


def _p_value(distance: float, parts: Sequence[_Component]) -> float:
    """The level at which the margins of the parts, added in quadrature, come to that distance."""
    if not parts or distance == 0:
        return 1.0 if distance == 0 else 0.0
    ratio = distance / math.sqrt(math.fsum(part.variance for part in parts))
    freedoms = [part.degrees_of_freedom for part in parts]
    # What either part alone would give lies on either side.
    low, high = (2 * float(special.stdtr(f, -ratio)) for f in (max(freedoms), min(freedoms)))
    if low < _SMALLEST or low == high:
        return low

    def excess(log_level: float) -> float:
        level = math.exp(log_level)
        return math.hypot(*(part.margin(level) for part in parts)) - distance

    if excess(math.log(low)) <= 0:
        return low
    if excess(math.log(high)) >= 0:
        return high
    return math.exp(optimize.brentq(excess, math.log(low), math.log(high), xtol=1e-12))
