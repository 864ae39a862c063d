"""Filters that drop single rollouts of a problem."""

import random
from collections.abc import Sequence

from data_gen.filters.ngrams import jaccard, ngrams, repeated_share, words_and_signs
from data_gen.filters.settings import NearDuplicates, Repetition
from data_gen.types import Rollout
from data_gen.views import is_accepted


def drop_truncated(group: Sequence[Rollout]) -> dict[int, str]:
    """Completions that were cut off at the token limit."""
    return {r.completion.sample: "truncated" for r in group if r.completion.truncated}


def drop_lengths(
    group: Sequence[Rollout], *, lowest: int = 0, highest: float = float("inf")
) -> dict[int, str]:
    """Completions shorter or longer than wanted, in tokens."""
    lengths = {r.completion.sample: len(r.completion.tokens) for r in group}
    return {
        sample: f"{length} tokens"
        for sample, length in lengths.items()
        if not lowest <= length <= highest
    }


def drop_repetitive(group: Sequence[Rollout], settings: Repetition) -> dict[int, str]:
    """Completions that say the same over and over, as sampling that is caught in a loop does."""
    found = {}
    for rollout in group:
        share = repeated_share(rollout.completion.tokens, settings.ngram)
        if share > settings.max_share:
            found[rollout.completion.sample] = f"repeats {share:.0%} of its n-grams"
    return found


def drop_duplicates(group: Sequence[Rollout]) -> dict[int, str]:
    """Completions with the text of an earlier one of their problem."""
    first: dict[str, int] = {}
    found = {}
    for rollout in group:
        sample = rollout.completion.sample
        earlier = first.setdefault(rollout.completion.text, sample)
        if earlier != sample:
            found[sample] = f"is sample {earlier}"
    return found


def drop_near_duplicates(group: Sequence[Rollout], settings: NearDuplicates) -> dict[int, str]:
    """Completions that are an earlier one of their problem but for a little.

    Only within one verdict: a right and a wrong answer that are alike make the sharpest pair. The
    similarity is exact here, since a problem has too few completions for MinHash to pay.
    """
    kept: list[tuple[str, int, frozenset[str]]] = []
    found = {}
    for rollout in group:
        label, sample = rollout.verdict.label, rollout.completion.sample
        members = words_and_signs(rollout.completion.text)
        runs = frozenset(ngrams(members, settings.ngram))
        alike = (
            earlier
            for earlier_label, earlier, other in kept
            if earlier_label == label and jaccard(runs, other) >= settings.similarity
        )
        if (like := next(alike, None)) is None:
            kept.append((label, sample, runs))
        else:
            found[sample] = f"is like sample {like}"
    return found


def drop_surplus(
    group: Sequence[Rollout], *, most: int, min_reward: float, seed: int
) -> dict[int, str]:
    """Accepted rollouts of a problem beyond a number; chance decides which stay."""
    samples = [r.completion.sample for r in group if is_accepted(r, min_reward)]
    random.Random(f"{seed}/{group[0].problem.id}").shuffle(samples)
    return dict.fromkeys(samples[most:], f"beyond {most} of its problem")
