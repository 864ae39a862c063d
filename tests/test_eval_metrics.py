"""Metrics hold against enumeration and numbers worked out by hand."""

import itertools
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_gen.types import DataError
from eval import avg_at_k, maj_at_k, metrics, pass_at_k


@pytest.mark.parametrize("n", range(1, 9))
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(n):
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
        subsets = list(itertools.combinations([i < c for i in range(n)], k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_of_arrays_is_that_of_each_element():
    counts = np.array([[0, 1, 5], [16, 2, 3]])
    expected = [[pass_at_k(16, c, 4) for c in row] for row in counts.tolist()]
    np.testing.assert_array_equal(pass_at_k(16, counts, 4), expected)
    assert isinstance(pass_at_k(4, 1, 2), float)


def test_pass_at_k_does_not_overflow_where_binomials_do():
    assert pass_at_k(10_000, 1, 5_000) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("n", "c", "k"), [(4, 1, 8), (4, 1, 0), (4, 5, 2), (4, -1, 2), (np.array([8, 3]), 1, 4)]
)
def test_pass_at_k_refuses_what_it_cannot_estimate(n, c, k):
    with pytest.raises(DataError):
        pass_at_k(n, c, k)


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_pass_at_1_is_the_share_correct_and_more_samples_never_hurt(pair):
    n, c = pair
    values = [pass_at_k(n, c, k) for k in range(1, n + 1)]
    assert values[0] == pytest.approx(c / n)
    assert values == sorted(values)
    assert values[-1] == pytest.approx(float(c > 0))


@pytest.mark.parametrize(
    ("answers", "correct", "credit"),
    [
        (["1", "1", "2"], [True, True, False], 1.0),
        (["1", "2", "2"], [True, False, False], 0.0),
        (["1", "2"], [True, False], 1 / 2),
        (["1", "2", "3"], [True, False, False], 1 / 3),
        (["2", "2", "3", "3", "1", "1"], [False, False, False, False, True, True], 1 / 3),
        # Equal to the gold and so to each other, however they are written.
        (["1/2", "0.5", "3", "3", "3 "], [True, True, False, False, False], 0.0),
        (["1/2", "0.5", "3"], [True, True, False], 1.0),
        # Wrong answers that are equal are one class, too.
        (["1/2", "0.5", r"\frac{2}{4}", "7", "7"], [False, False, False, True, True], 0.0),
        (["1/2", "0.5", "7", "7"], [False, False, True, True], 1 / 2),
        # No answer, no vote.
        (["", "", "", "1"], [False, False, False, True], 1.0),
        (["", ""], [False, False], 0.0),
        # A verifier that names no answers.
        (["", ""], [True, False], 1.0),
    ],
)
def test_maj_at_k_by_hand(answers, correct, credit):
    assert maj_at_k(answers, correct) == pytest.approx(credit)


VOTES = st.lists(
    st.lists(
        st.tuples(st.sampled_from(["1", "1.0", "2", "4/2", "x", "", "(1,2)"]), st.booleans()),
        min_size=3,
        max_size=3,
    ),
    min_size=1,
    max_size=6,
)


@given(VOTES)
def test_a_grids_maj_and_distinct_answers_are_means_over_its_problems(votes):
    meaning = {"1": 1, "1.0": 1, "2": 2, "4/2": 2, "x": "x", "(1,2)": (1, 2)}
    shares, different = [], []
    for samples in votes:
        classes = ["right" if right else meaning.get(a) for a, right in samples if right or a]
        counts = Counter(classes)
        top = [name for name, n in counts.items() if n == max(counts.values())]
        shares.append(top.count("right") / max(1, len(top)))
        different.append(len(counts))
        assert maj_at_k(*zip(*samples, strict=True)) == pytest.approx(shares[-1])
    rows = [(str(i), *sample) for i, samples in enumerate(votes) for sample in samples]
    grid = pd.DataFrame(rows, columns=["problem_id", "answer", "right"])
    grid["verdict"] = grid["right"].map({True: "correct", False: "wrong"})
    assert metrics.maj_share(grid) == pytest.approx(np.mean(shares))
    assert metrics.distinct_answers(grid) == pytest.approx(np.mean(different))


def test_avg_at_k_is_the_share_correct():
    assert avg_at_k([[1, 0], [1, 1], [0, 0]]) == pytest.approx(0.5)
    with pytest.raises(DataError):
        avg_at_k([])


GRID = pd.DataFrame(
    {
        "problem_id": ["a", "a", "a", "b", "b", "b"],
        "verdict": ["correct", "wrong", "unverifiable", "wrong", "wrong", "correct"],
        "reason": ["", "no boxed answer", "time-out", "different", "different", ""],
        "answer": ["7", "", "9^9", "1", "1", ""],
        "reward": [1.0, 0.0, 0.0, 0.25, 0.25, 1.0],
        "tokens": [10, 20, 30, 40, 50, 0],
        "truncated": [False, True, False, False, False, False],
        "nll": [0.1, 0.2, 0.3, 0.4, 0.5, math.nan],
    }
)


def test_shares_and_means_of_a_grid_by_hand():
    assert metrics.maj_share(GRID) == pytest.approx((1 / 2 + 0) / 2)
    assert metrics.truncated_share(GRID) == pytest.approx(1 / 6)
    # The correct sample without an answer is no miss: its verifier names none.
    assert metrics.no_answer_share(GRID) == pytest.approx(1 / 6)
    assert metrics.verifier_timeout_share(GRID) == pytest.approx(1 / 6)
    assert metrics.mean_tokens(GRID) == pytest.approx(25)
    assert metrics.mean_reward(GRID) == pytest.approx(2.5 / 6)
    # The correct answer is one, also where its verifier does not name it.
    assert metrics.distinct_answers(GRID) == pytest.approx((2 + 2) / 2)


def test_token_entropy_weighs_tokens_alike_and_needs_the_whole_distribution():
    expected = (0.1 * 10 + 0.2 * 20 + 0.3 * 30 + 0.4 * 40 + 0.5 * 50) / 150
    assert metrics.token_entropy(GRID, 1.0, 1.0) == pytest.approx(expected)
    assert math.isnan(metrics.token_entropy(GRID, 0.5, 1.0))
    assert math.isnan(metrics.token_entropy(GRID, 1.0, 0.9))
    assert math.isnan(metrics.token_entropy(GRID.assign(nll=math.nan), 1.0, 1.0))
