"""Selections over rollouts: which ones a method learns from."""

import itertools
import math
import random
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from data_gen.types import DataError, Rollout

Example = tuple[Rollout, ...]
PairPolicy = Literal["random", "hardest", "length_matched", "widest_margin"]


def groups(rollouts: Iterable[Rollout]) -> dict[str, list[Rollout]]:
    """The rollouts of each problem by its id, in the order of their coming."""
    found: dict[str, list[Rollout]] = {}
    for rollout in rollouts:
        found.setdefault(rollout.problem.id, []).append(rollout)
    return found


def problem_groups(rollouts: Iterable[Rollout]) -> Iterator[list[Rollout]]:
    """The rollouts of one problem after another. Raises DataError if a problem comes back."""
    seen: set[str] = set()
    for problem_id, group in itertools.groupby(rollouts, key=lambda r: r.problem.id):
        if problem_id in seen:
            raise DataError(f"the rollouts of problem {problem_id!r} do not stand side by side")
        seen.add(problem_id)
        yield list(group)


def accepted(
    rollouts: Iterable[Rollout], *, min_reward: float = 1.0, unique: bool = True
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


def rejected(
    rollouts: Iterable[Rollout], *, min_reward: float = 1.0, unique: bool = True
) -> list[Rollout]:
    """Rollouts that were verified wrong, with a reward under `min_reward`.

    A correct or unverifiable one is never rejected. With `unique`, of identical completions of a
    problem the first is kept.
    """
    chosen = [r for r in rollouts if r.verdict.label == "wrong" and r.reward < min_reward]
    return _distinct(chosen) if unique else chosen


def pairs(
    rollouts: Iterable[Rollout],
    *,
    min_reward: float = 1.0,
    policy: PairPolicy = "random",
    per_problem: int = 1,
    unique: bool = True,
    seed: int = 0,
) -> list[tuple[Rollout, Rollout]]:
    """(accepted, rejected) rollouts of one problem.

    A rollout is in one pair at most, so a problem gives at most as many pairs as its
    rarer side has members, and at most `per_problem`. Which ones, `policy` says:

    - "random": by `seed` alone, as chance decides wherever another policy leaves a choice;
    - "hardest": the rejected ones whose summed log-probability under the sampling model is highest;
    - "length_matched": the matching with the smallest sum of differences in length, in tokens, its
      closest pairs first;
    - "widest_margin": highest against lowest reward, then highest against lowest summed
      log-probability.

    Raises DataError where "hardest" or "widest_margin" meet rollouts of unknown log-probability.
    """
    matched: list[tuple[Rollout, Rollout]] = []
    for problem_id, group in groups(rollouts).items():
        winners = accepted(group, min_reward=min_reward, unique=unique)
        losers = rejected(group, min_reward=min_reward, unique=unique)
        generator = random.Random(f"{seed}/{problem_id}")
        generator.shuffle(winners)
        generator.shuffle(losers)
        matched += _MATCH[policy](winners, losers)[:per_problem]
    return matched


def sequence_logp(rollout: Rollout) -> float:
    """Log-probability of the whole completion under the model that sampled it, in nats.

    Raises DataError where it is unknown.
    """
    completion = rollout.completion
    if len(completion.logps) != len(completion.tokens):
        raise DataError(
            f"sample {completion.sample} of {completion.problem_id} has no log-probabilities, which"
            " this way of making pairs needs: take pairs.policy random or length_matched"
        )
    return math.fsum(completion.logps)


_Matched = list[tuple[Rollout, Rollout]]


def _random(winners: list[Rollout], losers: list[Rollout]) -> _Matched:
    return list(zip(winners, losers, strict=False))


def _hardest(winners: list[Rollout], losers: list[Rollout]) -> _Matched:
    return _random(winners, sorted(losers, key=sequence_logp, reverse=True))


def _widest_margin(winners: list[Rollout], losers: list[Rollout]) -> _Matched:
    def key(rollout: Rollout) -> tuple[float, float]:
        return rollout.reward, sequence_logp(rollout)

    return _random(sorted(winners, key=key, reverse=True), sorted(losers, key=key))


def _length_matched(winners: list[Rollout], losers: list[Rollout]) -> _Matched:
    from scipy.optimize import linear_sum_assignment

    gaps = [
        [abs(len(w.completion.tokens) - len(r.completion.tokens)) for r in losers] for w in winners
    ]
    if not winners or not losers:
        return []
    rows, columns = linear_sum_assignment(gaps)
    closest = sorted(zip(rows, columns, strict=True), key=lambda at: gaps[at[0]][at[1]])
    return [(winners[row], losers[column]) for row, column in closest]


_MATCH: dict[PairPolicy, Callable[[list[Rollout], list[Rollout]], _Matched]] = {
    "random": _random,
    "hardest": _hardest,
    "length_matched": _length_matched,
    "widest_margin": _widest_margin,
}


def _distinct(rollouts: Iterable[Rollout]) -> list[Rollout]:
    first: dict[tuple[str, bytes], Rollout] = {}
    for rollout in rollouts:
        tokens = array("i", rollout.completion.tokens).tobytes()
        first.setdefault((rollout.problem.id, tokens), rollout)
    return list(first.values())
