"""The verdict says what the tables say, whoever is ahead."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd

from eval import Evaluation, compare
from eval.evaluation import GRID_COLUMNS
from offline_rl.report import verdict

PROBLEMS = 40


def sentences(accuracies, samples=(), absent=(), baseline="base"):
    """On policies that are right so often on two benchmarks; all but bases have three seeds."""
    generator = np.random.default_rng(0)
    found = []
    for benchmark in ("easy", "hard"):
        for label, accuracy in accuracies.items():
            k = dict(samples).get(label, 8)
            for seed in (None,) if label.startswith("base") else (0, 1, 2):
                right = generator.random((PROBLEMS, k)) < accuracy
                rows = [
                    (
                        f"p{i}",
                        j,
                        j,
                        "correct" if right[i, j] else "wrong",
                        "",
                        "7",
                        1.0,
                        9,
                        False,
                        1,
                    )
                    for i in range(PROBLEMS)
                    for j in range(k)
                ]
                grid = pd.DataFrame(rows, columns=GRID_COLUMNS)
                temperature = 0.5 if label.endswith("-t0.5") else 1.0
                found.append(Evaluation(label, seed, benchmark, temperature, grid, model="m"))
    compared = compare(found, baseline=baseline, among_untrained=True)
    tables = {"comparison": compared.comparison, "pairwise": compared.pairwise}
    results = SimpleNamespace(baseline=baseline)
    return verdict(SimpleNamespace(**tables, absent=absent, results=results))


def test_a_base_that_no_method_reaches_comes_first():
    first, second, third, *_ = sentences(
        {"base": 0.6, "base-t0.5": 0.75, "dft": 0.45, "rft": 0.1, "dpo": 0.1}
    )
    assert first.startswith("No method's macro avg@8 exceeds that of base-t0.5, 7")
    assert second.startswith("dft has the highest macro avg@8 of what was trained: 4")
    assert third == "It is distinguishable from every other trained one there."


def test_a_base_that_is_behind_is_not_named_before_the_best():
    first, *_ = sentences({"base": 0.2, "dft": 0.7, "rft": 0.3})
    assert first.startswith("dft has the highest macro avg@8: 7")


def test_a_pair_is_told_by_its_own_number_of_samples():
    """The best may have another."""
    told = sentences(
        {"base": 0.2, "dft": 0.6, "rft": 0.3, "dft-greedy": 0.9}, samples={"dft-greedy": 1}
    )
    assert told[0].startswith("dft-greedy has the highest macro accuracy: ")
    [pair] = [one for one in told if one.startswith("dft beats rft")]
    assert "points on macro avg@8 (" in pair
    [mixed] = [one for one in told if one.startswith("dft-greedy ") and " rft: " in one]
    assert "points on macro accuracy (" in mixed
    assert any(one.startswith("Against base on macro accuracy, in points: ") for one in told)


def test_what_is_missing_comes_before_all():
    first, second, *_ = sentences({"base": 0.2, "dft": 0.7, "rft": 0.3}, absent=("dpo", "kto"))
    assert first.startswith("Incomplete: dpo and kto are missing.")
    assert second.startswith("dft has the highest")


def test_equals_share_the_highest_and_none_exceeds_an_equal_base():
    first, second, *_ = sentences({"base": 1.0, "dft": 1.0, "rft": 1.0, "dpo": 0.1})
    assert first.startswith("No method's macro avg@8 exceeds that of base, 100.0%")
    assert second.startswith("dft and rft have the highest macro avg@8 of what was trained: 100.0%")


def test_how_far_apart_those_are_that_cannot_be_told_apart():
    told = sentences({"base": 0.2, "dft": 0.6, "rft": 0.58, "dpo": 0.55})
    [level] = [one for one in told if one.startswith("It is not distinguishable there")]
    assert re.search(
        r"there from rft \(\+\d\S+ points\), nor among \d+ undeclared questions from dpo \(\+\d",
        level,
    )


def test_only_the_base_decoded_further_is_sharper_decoding():
    policies = {"base": 0.2, "base-t0.5": 0.3, "base-7b": 0.9, "dft": 0.5, "rft": 0.4}
    [sharper] = [one for one in sentences(policies) if one.startswith("Sharper decoding")]
    assert sharper.endswith(" points (base-t0.5).")


def test_no_other_policy_stands_for_a_base_that_is_missing():
    told = sentences({"base-t0.5": 0.3, "dft": 0.5, "rft": 0.4}, absent=("base",))
    assert told[0].startswith("Incomplete: base is missing.")
    assert not any("Sharper" in one or "fewer problems solved" in one for one in told)
