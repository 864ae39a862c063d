"""Decides which rollouts make the data set, filter by filter, problem by problem."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from data_gen.cards.counts import FilterCounts
from data_gen.filters import completions
from data_gen.filters.problems import Contaminated, NearDuplicateProblems, drop_pass_rates
from data_gen.filters.settings import Filters
from data_gen.types import Problem, Rollout
from data_gen.views import is_accepted, problem_groups

# The samples of a problem that a filter drops, and why.
Filter = Callable[[Sequence[Rollout]], dict[int, str]]


@dataclass(slots=True)
class Passage:
    """What one filter let through."""

    filter: str
    problems: int = 0
    rollouts: int = 0
    accepted: int = 0

    def counts(self) -> FilterCounts:
        """All but the filter's name."""
        return FilterCounts(problems=self.problems, rollouts=self.rollouts, accepted=self.accepted)


@dataclass(frozen=True, slots=True)
class Dropped:
    """Samples of a problem that a filter took out for one reason."""

    problem_id: str
    filter: str
    why: str
    samples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The samples kept of each problem, what every filter let through, and what fell out."""

    kept: dict[str, frozenset[int]]
    funnel: list[Passage]
    dropped: list[Dropped]

    def of(self, rollouts: Iterable[Rollout]) -> Iterator[Rollout]:
        """The rollouts that are kept, in their order."""
        for rollout in rollouts:
            if rollout.completion.sample in self.kept.get(rollout.problem.id, ()):
                yield rollout


def choose(
    rollouts: Iterable[Rollout],
    filters: Filters,
    *,
    min_reward: float = 1.0,
    benchmarks: Mapping[str, Sequence[Problem]] | None = None,
) -> Choice:
    """Applies the filters that are on. Reads the rollouts once and keeps none of them.

    The rollouts of a problem stand side by side, as `collect` stores them; DataError else.
    `min_reward` says which are accepted, as in `views.accepted`. `benchmarks` are what
    `filters.decontaminate` stays clear of, by name.
    """
    steps = _steps(filters, min_reward, benchmarks or {})
    choice = Choice({}, [Passage(name) for name in ("sampled", *steps)], [])
    accepted: dict[str, list[int]] = {}
    for group in problem_groups(rollouts):
        kept = _through(group, steps, choice, min_reward)
        if kept:
            choice.kept[group[0].problem.id] = frozenset(r.completion.sample for r in kept)
            winners = [r.completion.sample for r in kept if is_accepted(r, min_reward)]
            accepted[group[0].problem.id] = winners
    if filters.max_accepted is not None:
        _balance(choice, accepted, filters.max_accepted, filters.seed)
    return choice


def _steps(
    filters: Filters, min_reward: float, benchmarks: Mapping[str, Sequence[Problem]]
) -> dict[str, Filter]:
    """The filters that are on, in their order, under the names of their settings."""
    steps: dict[str, Filter] = {}
    if filters.decontaminate is not None:
        steps["decontaminate"] = Contaminated(filters.decontaminate, benchmarks)
    if filters.near_duplicate_problems is not None:
        steps["near_duplicate_problems"] = NearDuplicateProblems(filters.near_duplicate_problems)
    if filters.pass_rate is not None:
        steps["pass_rate"] = partial(
            drop_pass_rates, window=filters.pass_rate, min_reward=min_reward
        )
    if filters.truncated:
        steps["truncated"] = completions.drop_truncated
    if filters.min_tokens is not None:
        steps["min_tokens"] = partial(completions.drop_lengths, lowest=filters.min_tokens)
    if filters.max_tokens is not None:
        steps["max_tokens"] = partial(completions.drop_lengths, highest=filters.max_tokens)
    if filters.repetition is not None:
        steps["repetition"] = partial(completions.drop_repetitive, settings=filters.repetition)
    if filters.duplicates:
        steps["duplicates"] = completions.drop_duplicates
    if filters.near_duplicates is not None:
        steps["near_duplicates"] = partial(
            completions.drop_near_duplicates, settings=filters.near_duplicates
        )
    if filters.max_accepted_per_problem is not None:
        steps["max_accepted_per_problem"] = partial(
            completions.drop_surplus,
            most=filters.max_accepted_per_problem,
            min_reward=min_reward,
            seed=filters.seed,
        )
    return steps


def _through(
    group: list[Rollout], steps: Mapping[str, Filter], choice: Choice, min_reward: float
) -> list[Rollout]:
    """What is left of a problem after every filter, which notes what it lets through."""
    _note(choice.funnel[0], group, min_reward)
    for passage, drops in zip(choice.funnel[1:], steps.values(), strict=True):
        if not group:
            break
        reasons = drops(group)
        by_reason: dict[str, list[int]] = {}
        for sample, why in reasons.items():
            by_reason.setdefault(why, []).append(sample)
        problem_id = group[0].problem.id
        choice.dropped.extend(
            Dropped(problem_id, passage.filter, why, tuple(sorted(samples)))
            for why, samples in by_reason.items()
        )
        group = [r for r in group if r.completion.sample not in reasons]
        _note(passage, group, min_reward)
    return group


def _note(passage: Passage, group: Sequence[Rollout], min_reward: float) -> None:
    passage.problems += bool(group)
    passage.rollouts += len(group)
    passage.accepted += sum(is_accepted(rollout, min_reward) for rollout in group)


def _balance(choice: Choice, accepted: dict[str, list[int]], most: int, seed: int) -> None:
    """Takes accepted rollouts from the problems that have the most of them, until few enough."""
    quotas = _quotas({name: len(samples) for name, samples in accepted.items()}, most, seed)
    last = choice.funnel[-1]
    passage = Passage("max_accepted", last.problems, last.rollouts, last.accepted)
    for problem_id, samples in accepted.items():
        shuffled = list(samples)
        random.Random(f"{seed}/{problem_id}/balance").shuffle(shuffled)
        surplus = shuffled[quotas[problem_id] :]
        if not surplus:
            continue
        kept = choice.kept[problem_id] - set(surplus)
        choice.kept[problem_id] = kept
        passage.accepted -= len(surplus)
        passage.rollouts -= len(surplus)
        passage.problems -= not kept
        why = f"beyond {most} in all"
        choice.dropped.append(Dropped(problem_id, passage.filter, why, tuple(sorted(surplus))))
    choice.funnel.append(passage)


def _quotas(counts: Mapping[str, int], most: int, seed: int) -> dict[str, int]:
    """How many each problem may keep: `most` in all, as equal as their counts allow."""
    level, spare = 0, most
    while spare:
        able = [name for name, count in counts.items() if count > level]
        if not able:
            break
        if len(able) > spare:
            lucky = set(random.Random(f"{seed}/quotas").sample(able, spare))
            return {n: min(c, level + (n in lucky)) for n, c in counts.items()}
        spare -= len(able)
        level += 1
    return {name: min(count, level) for name, count in counts.items()}
