"""Selections: never an unproven accepted rollout, never a correct rejected one."""

import random

from data_gen import accepted, groups, pairs
from data_gen.types import Completion, Problem, Rollout, Verdict

CORRECT, WRONG = Verdict.correct("1"), Verdict.wrong("different", "2")
UNVERIFIABLE = Verdict.unverifiable("time-out", "3")


def rollout(problem="p", sample=0, verdict=CORRECT, tokens=None, finish="stop"):
    tokens = (sample,) if tokens is None else tokens
    completion = Completion(
        problem, sample, sample, "", (0,), "text", tokens, (-1.0,) * len(tokens), finish
    )
    return Rollout(Problem(problem, "question", "1"), completion, verdict)


def mixture(seed):
    """Many rollouts of a few problems, of every kind."""
    rng = random.Random(seed)
    verdicts = (CORRECT, WRONG, UNVERIFIABLE, Verdict("correct", 0.6), Verdict("wrong", 0.3))
    return [
        rollout(
            f"p{rng.randrange(6)}",
            n,
            rng.choice(verdicts),
            (rng.randrange(4),),
            rng.choice(("stop", "stop", "length")),
        )
        for n in range(120)
    ]


def test_truncated_wrong_and_unverifiable_ones_are_never_accepted():
    rich = Verdict("unverifiable", 1.0, "time-out")
    rollouts = [
        rollout(sample=0),
        rollout(sample=1, finish="length"),
        rollout(sample=2, verdict=WRONG),
        rollout(sample=3, verdict=rich),
    ]
    assert accepted(rollouts) == rollouts[:1]


def test_identical_completions_of_one_problem_are_kept_once():
    rollouts = [
        rollout("p", 0, tokens=(5,)),
        rollout("p", 1, tokens=(5,)),
        rollout("q", 0, tokens=(5,)),
    ]
    assert accepted(rollouts) == [rollouts[0], rollouts[2]]
    assert accepted(rollouts, unique=False) == rollouts


def test_min_reward_decides():
    rollouts = [rollout(sample=0), rollout(sample=1, verdict=Verdict("correct", 0.5))]
    assert accepted(rollouts) == rollouts[:1]
    assert accepted(rollouts, min_reward=0.5) == rollouts


def test_groups_hold_every_rollout_once_in_order():
    rollouts = mixture(0)
    found = groups(rollouts)
    assert list(found) == list(dict.fromkeys(r.problem.id for r in rollouts))
    for problem_id, group in found.items():
        assert group == [r for r in rollouts if r.problem.id == problem_id]


def test_pairs_keep_their_promises():
    for seed in range(20):
        for per_problem in (1, 3, 100):
            rollouts = mixture(seed)
            found = pairs(rollouts, per_problem=per_problem, seed=seed)
            assert found
            used = [id(one) for pair in found for one in pair]
            assert len(used) == len(set(used))
            for chosen, rejected in found:
                assert chosen.problem == rejected.problem
                assert chosen in accepted(rollouts)
                assert rejected.verdict.label == "wrong"
                assert rejected.reward < 1
            for group in groups(chosen for chosen, _ in found).values():
                assert len(group) <= per_problem


def test_a_problem_gives_as_many_pairs_as_its_rarer_side_has_members():
    rollouts = [rollout(sample=n) for n in range(2)]
    rollouts += [rollout(sample=n, verdict=WRONG) for n in range(2, 7)]
    assert len(pairs(rollouts, per_problem=10)) == 2
    assert pairs(rollouts[:2]) == pairs(rollouts[2:]) == []


def test_pairs_of_a_problem_do_not_depend_on_the_other_problems():
    rollouts = mixture(3)
    found = pairs(rollouts, per_problem=4)
    for problem_id, group in groups(rollouts).items():
        assert pairs(group, per_problem=4) == [p for p in found if p[0].problem.id == problem_id]
    assert found == pairs(rollouts, per_problem=4)
    assert found != pairs(rollouts, per_problem=4, seed=1)
