"""Selections over rollouts: which ones a method learns from."""

import random
from array import array
from collections.abc import Iterable, Sequence

from data_gen.types import Rollout

Example = tuple[Rollout, ...]


def groups(rollouts: Iterable[Rollout]) -> dict[str, list[Rollout]]:
    """The rollouts of each problem by its id, in the order of their coming."""
    found: dict[str, list[Rollout]] = {}
    for rollout in rollouts:
        found.setdefault(rollout.problem.id, []).append(rollout)
    return found


def accepted(
    rollouts: Sequence[Rollout], *, min_reward: float = 1.0, unique: bool = True
) -> list[Rollout]:
    """Rollouts with at least `min_reward` that ended by themselves.

    A truncated or unverifiable one is never accepted. With `unique`, of identical completions of a
    problem the first is kept.
    """
    chosen = [rollout for rollout in rollouts if is_accepted(rollout, min_reward)]
    return _distinct(chosen) if unique else chosen


def is_accepted(rollout: Rollout, min_reward: float) -> bool:
    return (
        rollout.reward >= min_reward
        and rollout.verdict.label != "unverifiable"
        and not rollout.completion.truncated
    )


def pairs(
    rollouts: Sequence[Rollout],
    *,
    min_reward: float = 1.0,
    per_problem: int = 1,
    unique: bool = True,
    seed: int = 0,
) -> list[tuple[Rollout, Rollout]]:
    """(accepted, rejected) rollouts of one problem, matched at random by `seed`.

    Rejected ones are verified wrong with a reward under `min_reward`: never correct, never
    unverifiable. A rollout is in one pair at most, so a problem gives at most as many pairs as its
    rarer side has members, and at most `per_problem`.
    """
    matched: list[tuple[Rollout, Rollout]] = []
    for problem_id, group in groups(rollouts).items():
        winners = accepted(group, min_reward=min_reward, unique=unique)
        losers = [r for r in group if r.verdict.label == "wrong" and r.reward < min_reward]
        if unique:
            losers = _distinct(losers)
        generator = random.Random(f"{seed}/{problem_id}")
        generator.shuffle(winners)
        generator.shuffle(losers)
        matched += list(zip(winners, losers, strict=False))[:per_problem]
    return matched


def _distinct(rollouts: Iterable[Rollout]) -> list[Rollout]:
    first: dict[tuple[str, bytes], Rollout] = {}
    for rollout in rollouts:
        tokens = array("i", rollout.completion.tokens).tobytes()
        first.setdefault((rollout.problem.id, tokens), rollout)
    return list(first.values())
