"""The built-in task: every problem is right, unique, and in one portion alone."""

import hashlib
import re
import subprocess
import sys

import pytest

from data_gen.problems.arithmetic import DISTRIBUTIONS, SPLITS, Computation, arithmetic_problems
from data_gen.types import DataError, Problem
from data_gen.verifiers import verify

pytestmark = pytest.mark.xdist_group("verifiers")


def answer_in_words(prompt):
    """The answer of `Start with 6. Add 5.`, worked out from the words."""
    (_, start), *steps = re.findall(r"(Start with|Add|Subtract|Multiply by) (\d+)\.", prompt)
    value = int(start)
    for word, operand in steps:
        if word == "Multiply by":
            value *= int(operand)
        else:
            value += int(operand) * (1 if word == "Add" else -1)
    return value


def answer_of_term(prompt):
    """The answer of `Compute ((6+5)*3)-2.`, worked out from the inside to the outside."""
    text = "(" + prompt.removeprefix("Compute ").removesuffix(".\n") + ")"
    while found := re.search(r"\((\d+)([-+*])(\d+)\)", text):
        left, sign, right = int(found[1]), found[2], int(found[3])
        value = {"+": left + right, "-": left - right, "*": left * right}[sign]
        text = text.replace(found[0], str(value), 1)
    return int(text)


def key(problem):
    """The computation, whatever its wording."""
    return re.sub(r"[()]", "", problem.id.removeprefix("arithmetic/"))


def test_a_problem_reads_as_documented():
    computation = Computation(6, (("+", 5), ("*", 3), ("-", 2)))
    solution = "6+5=11. 11*3=33. 33-2=31. The answer is \\boxed{31}."
    assert computation.problem() == Problem(
        "arithmetic/6+5*3-2",
        "Start with 6. Add 5. Multiply by 3. Subtract 2.\n",
        "31",
        solution,
    )
    assert computation.problem(nested=True) == Problem(
        "arithmetic/((6+5)*3)-2", "Compute ((6+5)*3)-2.\n", "31", solution
    )


@pytest.mark.parametrize("split", SPLITS)
def test_answers_are_right_and_within_the_distribution(split):
    name, _ = SPLITS[split]
    distribution = DISTRIBUTIONS[name]
    evaluate = answer_of_term if distribution.nested else answer_in_words
    for problem in arithmetic_problems(split, 300):
        assert problem.answer == str(evaluate(problem.prompt))
        steps = re.findall(r"(\d+)([-+*])(\d+)=(\d+)\.", problem.solution)
        assert distribution.steps[0] <= len(steps) <= distribution.steps[1]
        values = [int(steps[0][0]), *(int(result) for *_, result in steps)]
        assert min(values) >= 0
        assert distribution.reaches <= max(values) <= distribution.highest
        for _, sign, operand, _ in steps:
            low, high = (2, 5) if sign == "*" else distribution.operands
            assert low <= int(operand) <= high


@pytest.mark.parametrize("split", SPLITS)
def test_the_verifier_accepts_every_gold_solution(split):
    problems = arithmetic_problems(split, 300)
    verdicts = verify([(problem.answer, problem.solution) for problem in problems])
    assert {verdict.label for verdict in verdicts} == {"correct"}


@pytest.mark.parametrize("split", SPLITS)
def test_more_problems_begin_with_the_fewer(split):
    many = arithmetic_problems(split, 200, seed=3)
    assert arithmetic_problems(split, 70, seed=3) == many[:70]
    assert len({problem.id for problem in many}) == len({p.prompt for p in many}) == 200
    assert many != arithmetic_problems(split, 200, seed=4)


def test_portions_share_no_computation_whatever_the_seed_and_the_wording():
    found = {}
    for split, (_, portion) in SPLITS.items():
        for seed in range(3):
            problems = arithmetic_problems(split, 500, seed)
            found.setdefault(portion, set()).update(map(key, problems))
    assert not found["train"] & found["validation"]
    assert not found["train"] & found["test"]
    assert not found["validation"] & found["test"]


def test_problems_are_those_of_the_shipped_model_and_of_all_published_figures():
    told = [p.solution for split in SPLITS for p in arithmetic_problems(split, 100, seed=2)]
    digest = hashlib.sha256("\n".join(told).encode()).hexdigest()
    assert digest == "526a1ef60ebffcc3aa3a90bae3f8197f2ea98dff9b5a45c22109de3103689441"


def test_a_tenth_is_held_out():
    # Of all two-step computations from 40 with small operands: no draw decides their portion.
    signs = [("+", n) for n in range(1, 10)] + [("-", n) for n in range(1, 10)] + [("*", 2)]
    portions = [Computation(s, (a, b)).portion for s in range(40) for a in signs for b in signs]
    for portion, share in {"train": 0.9, "validation": 0.05, "test": 0.05}.items():
        assert portions.count(portion) / len(portions) == pytest.approx(share, abs=0.01)


def test_a_problem_has_one_id_in_every_call_and_process():
    script = (
        "from data_gen.problems.arithmetic import arithmetic_problems\n"
        "print([p.id for p in arithmetic_problems('test', 50, 7)])"
    )
    other = subprocess.run(
        [sys.executable, "-P", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "12345"},
    )
    assert other.stdout.strip() == str([p.id for p in arithmetic_problems("test", 50, 7)])
    by_id = {}
    for seed in range(5):
        for problem in arithmetic_problems("test", 500, seed):
            assert by_id.setdefault(problem.id, problem) == problem


@pytest.mark.parametrize("count", [0, -3, 10**9])
def test_an_impossible_count_is_named(count):
    with pytest.raises(DataError, match=rf"'test'.*{count}"):
        arithmetic_problems("test", count)


def test_an_unknown_split_is_named_with_the_choices():
    with pytest.raises(DataError, match=r"'tset'.*train, validation, test"):
        arithmetic_problems("tset", 1)
