"""Intervals and tests agree with scipy and statsmodels, and cover as often as they say."""

import itertools
import math
from dataclasses import astuple

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests

from data_gen.types import DataError
from eval import paired_bootstrap
from eval.bootstrap import resample
from eval.statistics import (
    clustered_mean,
    headline_difference,
    headline_mean,
    holm,
    seed_standard_deviation,
)
from tests.benchmarks.coverage import Setting, seen, simulated


def test_the_clustered_error_is_that_of_a_regression_with_clusters():
    generator = np.random.default_rng(0)
    problems, k = 40, 6
    correct = generator.random((problems, k)) < generator.random((problems, 1))
    groups = np.repeat(np.arange(problems), k)
    fitted = sm.OLS(correct.ravel().astype(float), np.ones(problems * k)).fit(
        cov_type="cluster",
        cov_kwds={"groups": groups, "use_correction": True, "df_correction": False},
    )
    # statsmodels also multiplies the variance by (N - 1) / (N - 1 parameter), here 1.
    estimate = clustered_mean(correct.mean(axis=1))
    assert estimate.value == pytest.approx(fitted.params[0])
    assert estimate.standard_error == pytest.approx(fitted.bse[0])


def test_a_difference_of_untrained_policies_is_the_paired_t_test():
    generator = np.random.default_rng(1)
    a, b = generator.random(30), generator.random(30) + 0.1
    expected = stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    for found in (clustered_mean(a - b), headline_difference([a[None]], [b[None]])):
        assert found.p_value == pytest.approx(expected.pvalue)
        assert found.degrees_of_freedom == pytest.approx(29)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_holm_is_the_step_down_rule_and_leaves_out_missing_tests(monkeypatch):
    p = [0.01, 0.04, 0.03, 0.005]
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    np.testing.assert_allclose(holm([0.01, math.nan, 0.03]), [0.02, math.nan, 0.03])
    assert len(holm([])) == 0
    # statsmodels collects garbage at each call.
    monkeypatch.setattr("gc.collect", lambda: 0)
    for size in (*range(1, 51), 400):
        generator = np.random.default_rng(size)
        # Rounded, so that some are equal.
        many = (generator.random(size) ** 3).round(2)
        expected = multipletests(many, method="holm")[1]
        np.testing.assert_allclose(holm(many), expected, rtol=1e-12)


def test_the_headline_variance_by_hand():
    a = np.array([[0.0, 1.0, 0.5], [0.5, 1.0, 0.9]])
    b = np.array([[0.2, 0.3, 0.1]])
    d = a.mean(axis=0) - b[0]
    over_problems = d.var(ddof=1) / 3
    gaps = a[0] - a[1]
    # With two seeds the residual mean square is half the variance of the differences.
    excess = max(0, a.mean(axis=1).var(ddof=1) - gaps.var(ddof=1) / 2 / 3) / 2
    assert excess > 0
    estimate = headline_difference([a], [b])
    total = over_problems + excess
    assert estimate.value == pytest.approx(d.mean())
    assert estimate.standard_error == pytest.approx(math.sqrt(total))
    assert estimate.degrees_of_freedom == pytest.approx(
        total**2 / (over_problems**2 / 2 + excess**2 / 1)
    )
    parts = ((over_problems, 2), (excess, 1))
    reach, rest = (
        math.hypot(*(stats.t.ppf(share, f) * math.sqrt(v) for v, f in parts))
        for share in (0.975, 0.8)
    )
    assert estimate.minimum_detectable == pytest.approx(reach + rest)


def test_the_headline_variance_of_a_macro_average_by_hand():
    generator = np.random.default_rng(10)
    shift = np.array([[0.1], [-0.1]])
    easy, hard = (generator.normal(0.5, 0.05, (2, n)) + shift for n in (6, 9))
    over_problems = sum(t.mean(axis=0).var(ddof=1) / t.shape[1] for t in (easy, hard)) / 4
    between = ((easy.mean(axis=1) + hard.mean(axis=1)) / 2).var(ddof=1)
    noise = sum((t[0] - t[1]).var(ddof=1) / 2 / t.shape[1] for t in (easy, hard)) / 4
    assert between > noise
    expected = math.sqrt(over_problems + (between - noise) / 2)
    assert headline_mean([easy, hard]).standard_error == pytest.approx(expected)


def test_equal_seeds_add_nothing():
    table = np.random.default_rng(2).random((1, 20))
    threefold, single = headline_mean([table.repeat(3, axis=0)]), headline_mean([table])
    assert astuple(threefold) == pytest.approx(astuple(single))


def test_a_macro_average_weighs_benchmarks_alike():
    small, large = (
        np.random.default_rng(3).random((1, 10)),
        np.random.default_rng(4).random((1, 90)),
    )
    both = headline_mean([small, large])
    parts = [clustered_mean(small[0]), clustered_mean(large[0])]
    assert both.value == pytest.approx((parts[0].value + parts[1].value) / 2)
    assert both.standard_error == pytest.approx(
        math.hypot(*(part.standard_error for part in parts)) / 2
    )


def test_seed_deviation_of_a_macro_average_is_that_of_per_seed_macro_means():
    opposite = np.array([[0.2, 0.2], [0.6, 0.6]])
    assert seed_standard_deviation([opposite]) == pytest.approx(np.std([0.2, 0.6], ddof=1))
    assert seed_standard_deviation([opposite, opposite[::-1]]) == pytest.approx(0)
    assert math.isnan(seed_standard_deviation([opposite[:1]]))


def test_one_problem_leaves_the_error_unknown_and_equal_tables_differ_by_nothing():
    lonely = headline_mean([np.array([[0.5], [0.25]])])
    assert lonely.value == 0.375
    assert all(map(math.isnan, (lonely.standard_error, lonely.low, lonely.high, lonely.p_value)))
    table = np.random.default_rng(5).random((1, 8))
    same = headline_difference([table], [table])
    assert (same.value, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_margins_over_problems_and_seeds_add_in_quadrature():
    generator = np.random.default_rng(11)
    a = generator.random((3, 25)) + np.array([[0.0], [0.2], [0.5]])
    b = generator.random((1, 25))
    d = a.mean(axis=0) - b[0]
    residual = a - a.mean(axis=0) - a.mean(axis=1, keepdims=True) + a.mean()
    noise = (residual**2).sum() / (2 * 24) / 25
    seeds = (a.mean(axis=1).var(ddof=1) - noise) / 3
    assert seeds > 0

    def reach(level):
        over_problems = stats.t.isf(level / 2, 24) * math.sqrt(d.var(ddof=1) / 25)
        return math.hypot(over_problems, stats.t.isf(level / 2, 2) * math.sqrt(seeds))

    found = headline_difference([a], [b])
    assert found.high - found.value == pytest.approx(reach(0.05))
    assert reach(found.p_value) == pytest.approx(abs(found.value))


@pytest.mark.parametrize("gain", [0.0, 1e-9, 0.1, 10.0, 1e6])
def test_the_p_value_is_below_5_percent_exactly_where_the_interval_leaves_out_zero(gain):
    generator = np.random.default_rng(12)
    for _ in range(50):
        a = generator.random((3, 20)) + generator.normal(0, 0.1, (3, 1)) + gain
        found = headline_difference([a], [generator.random((2, 20))])
        assert (found.p_value < 0.05) == (not found.low <= 0 <= found.high)
        assert 0 <= found.p_value <= 1


# Settings of all kinds; tests/benchmarks/coverage.py has the whole table.
@pytest.mark.parametrize(
    "setting",
    [Setting(0, 3, (30,)), Setting(1, 5, (150,)), Setting(4, 3, (150,)), Setting(1, 3, (30, 150))],
    ids=str,
)
def test_the_headline_covers_and_its_family_errs_as_seldom_as_it_should(setting):
    count = 500
    shown = seen(setting, count, np.random.default_rng(6))

    def at_most(chance):
        """More than this has a chance of one in 10,000 if it happens with `chance`."""
        return stats.binom.isf(1e-4, count, chance) / count

    for covered in (shown.between_methods, shown.against_base):
        assert 1 - at_most(1 - 0.93) <= covered <= at_most(0.975)
    assert shown.any_rejected <= at_most(0.06)


@pytest.mark.parametrize("setting", [Setting(0, 3, (150,)), Setting(4, 3, (150,))], ids=str)
def test_a_true_difference_as_large_as_the_detectable_one_is_mostly_found(setting):
    generator = np.random.default_rng(13)
    drawn = [simulated(setting, generator) for _ in range(600)]
    detectable = np.mean(
        [headline_difference(one["dft"], one["rft"]).minimum_detectable for one in drawn[:200]]
    )
    found = [
        headline_difference([table + detectable for table in one["dft"]], one["rft"]).p_value < 0.05
        for one in drawn[200:]
    ]
    # About 80 of 100, within what 400 comparisons and an average detectable difference can tell.
    assert 0.7 < np.mean(found) < 0.88


def test_an_interval_over_problems_alone_does_not_cover_where_seeds_vary():
    generator = np.random.default_rng(6)
    covered = 0
    for _ in range(300):
        tables = simulated(Setting(4, 3, (150,)), generator)
        dft, rft = (tables[name][0].mean(axis=0) for name in ("dft", "rft"))
        naive = clustered_mean(dft - rft)
        covered += naive.low <= 0 <= naive.high
    assert covered / 300 < 0.7


def test_the_bootstrap_agrees_with_the_headline_where_it_should():
    generator = np.random.default_rng(7)
    a, b = generator.random((1, 300)), generator.random((1, 300))
    c, d = generator.random((1, 80)), generator.random((1, 80))
    found = paired_bootstrap({"x": a, "y": c}, {"x": b, "y": d})
    expected = headline_difference([a, c], [b, d])
    assert found.replicates == 10_000
    assert found.difference == pytest.approx(expected.value)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=0.03)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.003)


def test_the_bootstrap_draws_the_same_problems_for_both_and_whole_seeds():
    table = np.random.default_rng(8).random((1, 50))
    shifted = paired_bootstrap({"x": table + 0.25}, {"x": table}, replicates=200)
    assert (shifted.low, shifted.high) == pytest.approx((0.25, 0.25))
    # Two seeds that mirror each other over benchmarks: each seed's macro mean is the same.
    up, down = np.full((1, 5), 0.8), np.full((1, 5), 0.2)
    mirrored = {"x": np.vstack([up, down]), "y": np.vstack([down, up])}
    still = paired_bootstrap(mirrored, {"x": down, "y": down}, replicates=200)
    assert still.standard_error == pytest.approx(0, abs=1e-12)
    lone = paired_bootstrap({"x": mirrored["x"]}, {"x": down}, replicates=2000)
    # A seed's mean is 0.8 or 0.2; the mean of two draws deviates by 0.3 / sqrt(2).
    assert lone.standard_error == pytest.approx(0.3 / math.sqrt(2), rel=0.05)


def test_the_bootstrap_is_reproducible_and_bounded_in_memory(monkeypatch):
    generator = np.random.default_rng(9)
    tables = {"x": generator.random((3, 40))}, {"x": generator.random((2, 40))}
    first = paired_bootstrap(*tables, replicates=500)
    assert paired_bootstrap(*tables, replicates=500) == first
    assert paired_bootstrap(*tables, replicates=500, seed=1) != first
    monkeypatch.setattr("eval.bootstrap._CELLS_AT_ONCE", 100)
    piecewise = paired_bootstrap(*tables, replicates=500)
    assert astuple(piecewise) == pytest.approx(astuple(first))


def test_interquartile_means_are_trimmed_as_scipy_does_it():
    generator = np.random.default_rng(13)
    single = generator.integers(0, 5, (1, 41)) / 4
    drawn = resample({"a": {"x": single}}, replicates=300)
    assert drawn.interquartile_means["a", "x"].std() > 0
    assert drawn.interquartile_means["a", "x"].mean() == pytest.approx(
        stats.trim_mean(single, 0.25, axis=None), abs=0.05
    )
    # The same problem in every place: whatever is drawn, one table of equal columns per seed.
    columns = np.repeat([[0.0], [0.25], [1.0]], 9, axis=1)
    drawn = resample({"a": {"x": columns}}, replicates=300)
    seen_means = {round(float(m), 9) for m in drawn.means["a", "x"]}
    expected = {
        round(float(np.mean(values)), 9): float(stats.trim_mean(np.repeat(values, 9), 0.25))
        for values in itertools.product([0.0, 0.25, 1.0], repeat=3)
    }
    assert seen_means <= expected.keys()
    by_mean = dict(zip(drawn.means["a", "x"], drawn.interquartile_means["a", "x"], strict=True))
    assert {round(float(m), 9): float(i) for m, i in by_mean.items()} == pytest.approx(
        {mean: expected[mean] for mean in seen_means}
    )


def test_what_is_drawn_for_a_method_does_not_depend_on_the_others():
    generator = np.random.default_rng(14)
    tables = {name: {"x": generator.integers(0, 17, (3, 50)) / 16} for name in ("a", "b", "c")}
    whole = resample(tables, replicates=200)
    turned = resample({name: tables[name] for name in ("c", "a")}, replicates=200)
    for name in ("a", "c"):
        np.testing.assert_array_equal(whole.means[name, "x"], turned.means[name, "x"])
        np.testing.assert_array_equal(
            whole.interquartile_means[name, "x"], turned.interquartile_means[name, "x"]
        )


@pytest.mark.parametrize(
    ("tables", "against"),
    [
        ({}, {}),
        ({"x": [0.1, 0.2]}, {"y": [0.1, 0.2]}),
        ({"x": [0.1, 0.2]}, {"x": [0.1]}),
        ({"x": [[0.1], [0.2]], "y": [[0.1]]}, {"x": [0.1], "y": [0.1]}),
    ],
)
def test_the_bootstrap_refuses_what_is_not_paired(tables, against):
    with pytest.raises(DataError):
        paired_bootstrap(tables, against)
