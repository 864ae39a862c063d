"""Tests of checkpoints agree with scipy's, and what is flipped depends on names alone."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from eval.permutation import mcnemar_p_value, permutation_p_value, sign_flipped_means


def p_of(gaps, name="x", **settings):
    flipped = sign_flipped_means(np.atleast_2d(gaps), name, **settings)[:, 0]
    return permutation_p_value(float(np.mean(gaps)), flipped)


@pytest.mark.parametrize("shift", [0.0, 0.15, 0.4])
def test_sign_flips_agree_with_scipys_exact_test(shift):
    gaps = np.random.default_rng(1).normal(shift, 0.5, 12)
    exact = stats.permutation_test(
        (gaps, np.zeros(12)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    ).pvalue
    # Four standard errors of a share of 10,000 flips.
    assert p_of(gaps) == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 10_000) + 1e-4)


def test_no_p_value_is_zero_and_no_difference_is_one():
    assert p_of(np.full(60, 0.5), flips=999) == pytest.approx(1 / 1000)
    assert p_of(np.zeros(10)) == 1
    # Every flip of one problem reaches what was observed, whatever rounding does.
    assert p_of(np.array([0.1 + 0.2])) == 1


def test_flips_depend_on_the_name_and_the_seed_and_not_on_other_pairs(monkeypatch):
    gaps = np.random.default_rng(2).normal(0, 1, (3, 40))
    whole = sign_flipped_means(gaps, "x", flips=500)
    np.testing.assert_allclose(sign_flipped_means(gaps[::-1], "x", flips=500), whole[:, ::-1])
    assert not np.allclose(sign_flipped_means(gaps, "y", flips=500), whole)
    assert not np.allclose(sign_flipped_means(gaps, "x", flips=500, seed=1), whole)
    monkeypatch.setattr("eval.permutation._CELLS_AT_ONCE", 160)
    np.testing.assert_allclose(sign_flipped_means(gaps, "x", flips=500), whole)


def test_mcnemar_is_statsmodels_and_an_exact_binomial_test():
    generator = np.random.default_rng(3)
    one, other = generator.random(80) < 0.6, generator.random(80) < 0.4
    first, second = int((one & ~other).sum()), int((~one & other).sum())
    found = mcnemar_p_value(one, other)
    assert found == pytest.approx(stats.binomtest(first, first + second, 0.5).pvalue)
    table = [[int((one & other).sum()), first], [second, int((~one & ~other).sum())]]
    assert found == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert mcnemar_p_value(other, one) == pytest.approx(found)
    assert mcnemar_p_value(one, one) == 1
