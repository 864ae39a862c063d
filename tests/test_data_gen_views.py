"""Selections: never an unproven accepted rollout, never a correct rejected one."""

import itertools
import random
from dataclasses import replace
from typing import get_args

import pytest

from data_gen import accepted, groups, pairs
from data_gen.cards.pair_stats import PairCounter
from data_gen.types import Completion, DataError, Problem, Rollout, Verdict
from data_gen.views import PairPolicy, rejected, sequence_logp

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
            for chosen, loser in found:
                assert chosen.problem == loser.problem
                assert chosen in accepted(rollouts)
                assert loser in rejected(rollouts)
                assert loser.verdict.label == "wrong"
                assert loser.reward < 1
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


def sized(sample, right, length, logp):
    tokens = tuple(range(sample, sample + length))
    completion = Completion(
        "p", sample, sample, "", (0,), "text", tokens, (logp / length,) * length, "stop"
    )
    return Rollout(Problem("p", "question", "1"), completion, CORRECT if right else WRONG)


def brute_force_gap(winners, losers):
    """Smallest sum of length gaps over all matchings of the smaller side."""
    short, long = sorted(
        ([len(r.completion.tokens) for r in s] for s in (winners, losers)), key=len
    )
    return min(
        sum(abs(a - b) for a, b in zip(short, chosen, strict=True))
        for chosen in itertools.permutations(long, len(short))
    )


@pytest.mark.parametrize("seed", range(15))
def test_each_policy_takes_the_pairs_it_names(seed):
    rng = random.Random(seed)
    rollouts = [
        sized(n, rng.random() < 0.5, rng.randrange(1, 9), -rng.random() * 20) for n in range(9)
    ]
    winners = [r for r in rollouts if r.verdict is CORRECT]
    losers = [r for r in rollouts if r.verdict is WRONG]
    fewest = min(len(winners), len(losers))
    for policy in get_args(PairPolicy):
        found = pairs(rollouts, policy=policy, per_problem=9, seed=seed)
        assert len(found) == fewest
        used = [r.completion.sample for pair in found for r in pair]
        assert len(used) == len(set(used))
        assert pairs(rollouts, policy=policy, seed=seed) == found[:1]
    by_logp = sorted(losers, key=sequence_logp, reverse=True)
    found = pairs(rollouts, policy="hardest", per_problem=9, seed=seed)
    assert [loser for _, loser in found] == by_logp[:fewest]
    found = pairs(rollouts, policy="widest_margin", per_problem=9, seed=seed)
    assert [loser for _, loser in found] == by_logp[::-1][:fewest]
    assert [c for c, _ in found] == sorted(winners, key=sequence_logp, reverse=True)[:fewest]
    found = pairs(rollouts, policy="length_matched", per_problem=9, seed=seed)
    gaps = [abs(len(c.completion.tokens) - len(r.completion.tokens)) for c, r in found]
    assert gaps == sorted(gaps)
    assert sum(gaps) == (brute_force_gap(winners, losers) if fewest else 0)


def test_a_policy_that_needs_log_probabilities_says_so():
    rollouts = [
        replace(r, completion=replace(r.completion, logps=()))
        for r in (
            rollout(sample=0),
            rollout(sample=1, verdict=WRONG),
            rollout(sample=2, verdict=WRONG),
        )
    ]
    for policy in ("hardest", "widest_margin"):
        with pytest.raises(DataError, match=r"sample \d of p has no log-probabilities"):
            pairs(rollouts, policy=policy)
    assert len(pairs(rollouts)) == len(pairs(rollouts, policy="length_matched")) == 1


def count_pairs(matched):
    counter = PairCounter()
    counter.add(matched)
    return counter.counts()


def test_the_audit_of_pairs_counts():
    a, b = sized(0, True, 2, -3.0), sized(1, False, 5, -4.0)
    c, d = sized(2, True, 4, -9.0), sized(3, False, 1, -1.0)
    audit = count_pairs([(a, b), (c, d), (a, d)])
    assert audit.pairs == 3
    assert audit.problems == 1
    assert audit.most_pairs_of_a_problem == 3
    assert audit.rollouts_reused == 2
    assert audit.mean_length_gap_tokens == pytest.approx((-3 + 3 + 1) / 3)
    assert audit.mean_absolute_length_gap_tokens == pytest.approx(7 / 3)
    assert audit.share_chosen_shorter == pytest.approx(1 / 3)
    assert audit.mean_logp_margin_nats == pytest.approx((1 - 8 - 2) / 3, abs=1e-6)
    assert audit.share_chosen_likelier == pytest.approx(1 / 3)
    assert count_pairs([]).mean_length_gap_tokens is None
    assert count_pairs(pairs(mixture(1), per_problem=9)).rollouts_reused == 0
