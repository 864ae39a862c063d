"""Every figure of a comparison is that of a plain computation beside it."""

import math

import numpy as np
import pytest
from scipy import stats

from eval import compare, paired_bootstrap
from eval.bootstrap import percentile_interval, resample
from eval.comparison import CHECKS
from eval.permutation import permutation_p_value, sign_flipped_means
from eval.statistics import clustered_mean, headline_difference, headline_mean
from tests.helpers.comparisons import (
    KEYS,
    checks_of,
    evaluation,
    evaluations,
    row,
    standard,
    table_of,
)


def test_figures_are_those_of_the_statistics_on_seed_by_problem_tables():
    found = evaluations()
    compared = compare(found)
    tables = {
        label: [table_of(found, label, benchmark) for benchmark in ("easy", "hard")]
        for label in ("base", "dft", "rft")
    }
    for label in ("base", "dft"):
        mean = headline_mean(tables[label])
        shown = row(compared.comparison, label=label, benchmark="macro")
        assert shown.avg_at_k_percent == pytest.approx(100 * mean.value)
        assert shown.avg_at_k_low_percent == pytest.approx(100 * mean.low)
        assert shown.problems == 24
        parts = [clustered_mean(table.mean(axis=0)).standard_error for table in tables[label]]
        assert shown.standard_error_points == pytest.approx(100 * math.hypot(*parts) / 2)
    for against in ("base", "rft"):
        for benchmark, part in (("hard", slice(1, 2)), ("macro", slice(0, 2))):
            expected = headline_difference(tables["dft"][part], tables[against][part])
            shown = row(compared.pairwise, label="dft", against=against, benchmark=benchmark)
            assert shown.difference_points == pytest.approx(100 * expected.value)
            assert shown.low_points == pytest.approx(100 * expected.low)
            assert shown.p_value == pytest.approx(expected.p_value)
            assert shown.degrees_of_freedom == pytest.approx(expected.degrees_of_freedom)
            assert shown.minimum_detectable_points == pytest.approx(
                100 * expected.minimum_detectable
            )
            assert shown.wins + shown.ties + shown.losses == shown.problems


def test_points_of_pass_at_k_are_powers_of_two_and_the_samples_that_were_drawn():
    compared = standard()
    for label, points in (("base greedy", [1]), ("dft", [1, 2, 4])):
        for benchmark in ("easy", "macro"):
            drawn = compared.pass_at_k.query("label == @label and benchmark == @benchmark")
            assert list(drawn["k"]) == points
            assert drawn["pass_at_k_percent"].is_monotonic_increasing
            assert (drawn["low_percent"] <= drawn["pass_at_k_percent"]).all()
            assert (drawn["high_percent"] >= drawn["pass_at_k_percent"]).all()
            shown = row(compared.comparison, label=label, benchmark=benchmark)
            assert drawn["pass_at_k_percent"].iloc[0] == pytest.approx(shown.avg_at_k_percent)
            assert drawn["low_percent"].iloc[0] == pytest.approx(shown.avg_at_k_low_percent)
            assert drawn["pass_at_k_percent"].iloc[-1] == pytest.approx(shown.pass_at_k_percent)


def test_entropy_is_empty_where_not_sampled_at_temperature_one():
    table = standard().comparison
    assert math.isnan(row(table, label="base greedy", benchmark="easy").token_entropy_nats)
    assert row(table, label="dft", benchmark="easy").token_entropy_nats > 0


def test_holm_is_adjusted_within_each_family_alone():
    pairwise = standard().pairwise
    families = [("primary", {"macro"}, 3), ("secondary", {"easy", "hard"}, 6)]
    for family, benchmarks, size in [*families, ("exploratory", {"easy", "hard", "macro"}, 6)]:
        members = pairwise[pairwise["family"] == family]
        assert set(members["benchmark"]) == benchmarks
        smallest = members["p_value"].idxmin()
        expected = min(1, size * members.loc[smallest, "p_value"])
        assert members.loc[smallest, "holm_p_value"] == pytest.approx(expected)


def test_seeds_have_rows_of_their_own_whose_mean_is_that_of_the_label():
    found = evaluations()
    compared = compare(found)
    assert str(compared.seeds["training_seed"].dtype) == "Int64"
    assert compared.seeds.query("label == 'base'")["training_seed"].isna().all()
    for benchmark in ("hard", "macro"):
        seeds = compared.seeds.query("label == 'dft' and benchmark == @benchmark")
        assert list(seeds["training_seed"]) == [0, 1, 2]
        shown = row(compared.comparison, label="dft", benchmark=benchmark)
        for name in set(seeds.columns) & set(compared.comparison.columns) - set(KEYS):
            if name != "standard_error_points":
                assert seeds[name].mean() == pytest.approx(shown[name]), name
        assert seeds["avg_at_k_percent"].std() == pytest.approx(shown.training_seed_sd_points)
    [single] = table_of(found, "dft", "hard")[1:2]
    error = compared.seeds.query("training_seed == 1 and label == 'dft' and benchmark == 'hard'")
    assert error["standard_error_points"].item() == pytest.approx(
        100 * clustered_mean(single).standard_error
    )


def test_the_profile_is_the_share_of_problems_with_at_least_that_accuracy():
    found = evaluations()
    compared = compare(found)
    shares = {}
    for benchmark in ("easy", "hard"):
        table = table_of(found, "dft", benchmark)
        shown = compared.profile.query("label == 'dft' and benchmark == @benchmark")
        assert list(shown["threshold_percent"]) == [25, 50, 75, 100]
        shares[benchmark] = [100 * (table >= t).mean() for t in (0.25, 0.5, 0.75, 1)]
        assert list(shown["problems_percent"]) == pytest.approx(shares[benchmark])
    macro = compared.profile.query("label == 'dft' and benchmark == 'macro'")
    expected = np.mean([shares["easy"], shares["hard"]], axis=0)
    assert list(macro["problems_percent"]) == pytest.approx(list(expected))
    many = compare([evaluation("base", None, "easy", 0.5, samples=64)]).profile
    thresholds = many.query("benchmark == 'easy'")["threshold_percent"]
    assert len(thresholds) == 20
    assert thresholds.iloc[-1] == 100
    assert (thresholds * 64 / 100 % 1 == 0).all()


def test_further_columns_of_pairs_by_hand():
    found = evaluations()
    compared = compare(found)
    pairwise = compared.pairwise
    for benchmark in ("easy", "hard"):
        ours, theirs = (table_of(found, label, benchmark) for label in ("dft", "rft"))
        shown = row(pairwise, label="dft", against="rft", benchmark=benchmark)
        checks = checks_of(compared, label="dft", against="rft", benchmark=benchmark)
        one, other = ours.mean(axis=0), theirs.mean(axis=0)
        assert checks.correlation == pytest.approx(stats.pearsonr(one, other).statistic)
        chances = [
            np.mean([(a > b) + (a == b) / 2 for a in ours[:, i] for b in theirs[:, i]])
            for i in range(ours.shape[1])
        ]
        improvement = 100 * np.mean(chances)
        assert shown.probability_of_improvement_percent == pytest.approx(improvement)
        flipped = sign_flipped_means((one - other)[None], benchmark)[:, 0]
        expected = permutation_p_value(float((one - other).mean()), flipped)
        assert checks.sign_flip_p_value == pytest.approx(expected)
        boot = paired_bootstrap({benchmark: ours}, {benchmark: theirs})
        assert checks.bootstrap_low_points == pytest.approx(100 * boot.low, abs=1.5)
        assert checks.bootstrap_high_points == pytest.approx(100 * boot.high, abs=1.5)
    macro = row(pairwise, label="dft", against="rft", benchmark="macro")
    singles = pairwise.query("label == 'dft' and against == 'rft' and benchmark != 'macro'")
    for name in ("probability_of_improvement_percent", "difference_points"):
        assert macro[name] == pytest.approx(singles[name].mean())
    where = {"label": "dft", "against": "rft", "check": "correlation"}
    correlation = {
        b: row(compared.checks, benchmark=b, **where).value for b in ("easy", "hard", "macro")
    }
    assert correlation["macro"] == pytest.approx((correlation["easy"] + correlation["hard"]) / 2)
    assert "mcnemar_p_value" not in set(compared.checks["check"])


def test_mcnemar_is_there_for_single_answers_of_single_checkpoints():
    found = [
        evaluation("base", None, "easy", 0.4, problems=60, samples=1),
        evaluation("dft", 0, "easy", 0.7, problems=60, samples=1),
    ]
    compared = compare(found)
    shown = row(compared.pairwise, label="dft", benchmark="easy")
    first, second = shown.wins, shown.losses
    assert first + second < 60
    expected = stats.binomtest(first, first + second).pvalue
    checks = checks_of(compared, label="dft", against="base", benchmark="easy")
    assert checks.mcnemar_p_value == pytest.approx(expected)


def test_bootstrap_checks_are_what_the_bootstrap_of_the_same_tables_gives():
    found = evaluations()
    tables = {
        label: {name: table_of(found, label, name) for name in ("easy", "hard")}
        for label in ("base", "base greedy", "dft", "rft")
    }
    drawn = resample(tables)
    compared = compare(found)
    for benchmarks, name in ((["easy"], "easy"), (["hard"], "hard"), (["easy", "hard"], "macro")):
        gaps = [drawn.means["dft", b] - drawn.means["rft", b] for b in benchmarks]
        low, high = percentile_interval(np.mean(gaps, axis=0))
        pair = checks_of(compared, label="dft", against="rft", benchmark=name)
        assert (pair.bootstrap_low_points, pair.bootstrap_high_points) == (100 * low, 100 * high)
        means = [drawn.interquartile_means["dft", b] for b in benchmarks]
        low, high = percentile_interval(np.mean(means, axis=0))
        alone = checks_of(compared, label="dft", against="", benchmark=name)
        assert (alone.iqm_low_percent, alone.iqm_high_percent) == (100 * low, 100 * high)


def test_checks_are_a_row_for_each_value_there_is():
    compared = standard()
    checks = compared.checks
    assert checks["value"].notna().all()
    of_labels, of_pairs = checks[checks["against"] == ""], checks[checks["against"] != ""]
    for table, rows, names in (
        (compared.comparison, of_labels, list(CHECKS)[:3]),
        (compared.pairwise, of_pairs, set(list(CHECKS)[3:]) - {"mcnemar_p_value"}),
    ):
        assert set(rows["check"]) == set(names)
        assert len(rows) == len(table) * len(names)
        assert not set(table.columns) & set(CHECKS)


def test_the_interquartile_mean_is_scipys_within_its_interval():
    found = evaluations()
    compared = compare(found)
    values = [
        100 * stats.trim_mean(table_of(found, "dft", benchmark), 0.25, axis=None)
        for benchmark in ("easy", "hard")
    ]
    for benchmark, expected in (("easy", values[0]), ("macro", np.mean(values))):
        shown = checks_of(compared, label="dft", against="", benchmark=benchmark)
        assert shown.iqm_percent == pytest.approx(expected)
        assert shown.iqm_low_percent < shown.iqm_percent < shown.iqm_high_percent


def test_an_interval_stays_within_0_and_100_percent():
    rare = evaluation("base", None, "easy", 0.0)
    rare.grid.loc[0, "verdict"] = "correct"
    shown = compare([rare]).comparison.iloc[0]
    assert shown.avg_at_k_low_percent == 0
    assert shown.avg_at_k_percent == pytest.approx(100 / 48)


def test_a_single_problem_has_no_interval():
    lonely = [
        evaluation(label, seed, "easy", 0.5, problems=1)
        for label, seed in (("base", None), ("dft", 0), ("dft", 1))
    ]
    compared = compare(lonely)
    assert compared.comparison["avg_at_k_low_percent"].isna().all()
    assert compared.pairwise["holm_p_value"].isna().all()
