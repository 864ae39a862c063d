"""Laws on the golds of real problem sets: each equals itself, and no two different ones agree."""

import random

import pytest

from data_gen import load_problems
from data_gen.verifiers import verify

pytestmark = pytest.mark.xdist_group("verifiers")

SETS = {
    "gsm8k": "gsm8k",
    "math500": "math_oai",
    "minerva": "minerva_math",
    "olympiadbench": "olympiadbench",
    "aime24": "aime24",
    "amc23": "amc23",
}
MOST_PAIRS = 1500


def golds_of(name, folder) -> list[str]:
    path = str(folder / "benchmarks" / f"{SETS[name]}.jsonl")
    return [problem.answer for problem in load_problems(name, path=path)]


@pytest.mark.parametrize("name", SETS)
def test_every_gold_is_its_own_right_answer(name, real_data) -> None:
    golds = golds_of(name, real_data)
    found = verify([(gold, rf"\boxed{{{gold}}}") for gold in golds])
    missed = [(gold, v) for gold, v in zip(golds, found, strict=True) if v.label != "correct"]
    assert missed == []


@pytest.mark.parametrize("name", SETS)
def test_no_gold_is_right_for_another_one(name, real_data) -> None:
    different = sorted(set(golds_of(name, real_data)))
    pairs = [(gold, other) for gold in different for other in different if gold != other]
    if len(pairs) > MOST_PAIRS:
        pairs = random.Random(name).sample(pairs, MOST_PAIRS)
    found = verify([(gold, rf"\boxed{{{other}}}") for gold, other in pairs])
    accepted = [pair for pair, v in zip(pairs, found, strict=True) if v.label == "correct"]
    # The same value written twice is no mistake: such pairs are told apart by hand.
    assert [pair for pair in accepted if pair not in SAME] == []


# Different texts of one value among the golds.
SAME = {
    ("x=5", "5"),
    ("5", "x=5"),
    (r"\frac{9}{5}", r"1\frac{4}{5}"),
    (r"1\frac{4}{5}", r"\frac{9}{5}"),
}
