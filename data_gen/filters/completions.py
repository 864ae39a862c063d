"""Filters that drop single rollouts of a problem."""

import random
from collections.abc import Sequence

from data_gen.filters.ngrams import jaccard, ngrams, repeated_share, words_and_signs
from data_gen.filters.settings import NearDuplicates, Repetition
from data_gen.types import Rollout
from data_gen.views import is_accepted


class Truncated:
    """Completions that were cut off at the token limit."""

    def __call__(self, group: Sequence[Rollout]) -> dict[int, str]:
        return {r.completion.sample: "truncated" for r in group if r.completion.truncated}


class Length:
    """Completions shorter or longer than wanted, in tokens."""

    def __init__(self, lowest: int | None, highest: int | None) -> None:
        self._lowest = lowest or 0
        self._highest = highest

    def __call__(self, group: Sequence[Rollout]) -> dict[int, str]:
        lengths = {r.completion.sample: len(r.completion.tokens) for r in group}
        return {
            sample: f"{length} tokens"
            for sample, length in lengths.items()
            if length < self._lowest or (self._highest is not None and length > self._highest)
        }


class Repetitive:
    """Completions that say the same over and over, as sampling that is caught in a loop does."""

    def __init__(self, settings: Repetition) -> None:
        self._settings = settings

    def __call__(self, group: Sequence[Rollout]) -> dict[int, str]:
        found = {}
        for rollout in group:
            share = repeated_share(rollout.completion.tokens, self._settings.ngram)
            if share > self._settings.max_share:
                found[rollout.completion.sample] = f"repeats {share:.0%} of its n-grams"
        return found


class Duplicates:
    """Completions with the text of an earlier one of their problem."""

    def __call__(self, group: Sequence[Rollout]) -> dict[int, str]:
        first: dict[str, int] = {}
        found = {}
        for rollout in group:
            sample = rollout.completion.sample
            earlier = first.setdefault(rollout.completion.text, sample)
            if earlier != sample:
                found[sample] = f"is sample {earlier}"
        return found


class NearDuplicateCompletions:
    """Completions that are an earlier one of their problem but for a little.

    Only within one verdict: a right and a wrong answer that are alike make the sharpest pair. The
    similarity is exact here, since a problem has too few completions for MinHash to pay.
    """

    def __init__(self, settings: NearDuplicates) -> None:
        self._settings = settings

    def __call__(self, group: Sequence[Rollout]) -> dict[int, str]:
        kept: list[tuple[str, int, frozenset[str]]] = []
        found = {}
        for rollout in group:
            label, sample = rollout.verdict.label, rollout.completion.sample
            members = words_and_signs(rollout.completion.text)
            runs = frozenset(ngrams(members, self._settings.ngram))
            alike = next(
                (n for of, n, other in kept if of == label and self._alike(runs, other)), None
            )
            if alike is None:
                kept.append((label, sample, runs))
            else:
                found[sample] = f"is like sample {alike}"
        return found

    def _alike(self, one: frozenset[str], other: frozenset[str]) -> bool:
        return jaccard(one, other) >= self._settings.similarity


class Surplus:
    """Accepted rollouts of a problem beyond a number; chance decides which stay."""

    def __init__(self, most: int, min_reward: float, seed: int) -> None:
        self._most = most
        self._min_reward = min_reward
        self._seed = seed

    def __call__(self, group: Sequence[Rollout]) -> dict[int, str]:
        samples = [r.completion.sample for r in group if is_accepted(r, self._min_reward)]
        random.Random(f"{self._seed}/{group[0].problem.id}").shuffle(samples)
        return dict.fromkeys(samples[self._most :], f"beyond {self._most} of its problem")
