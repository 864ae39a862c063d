"""Filters that keep or drop a problem with all its rollouts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from data_gen.filters.ngrams import ngrams, words, words_and_signs
from data_gen.filters.settings import Decontamination, NearDuplicates
from data_gen.types import Problem, Rollout

if TYPE_CHECKING:
    from datasketch import MinHash

_PERMUTATIONS = 128


class Contaminated:
    """Problems that share `ngram` words in a row with a benchmark's problem."""

    def __init__(
        self, settings: Decontamination, benchmarks: Mapping[str, Sequence[Problem]]
    ) -> None:
        self._size = settings.ngram
        self._seen: dict[str, str] = {}
        self._whole: dict[str, str] = {}
        for name, problems in benchmarks.items():
            for problem in problems:
                place = f"problem {problem.id} of {name}"
                self._whole.setdefault(_whole(problem), place)
                for run in self._runs(problem):
                    self._seen.setdefault(run, place)

    def __call__(self, group: Sequence[Rollout]) -> dict[int, str]:
        problem = group[0].problem
        same = self._whole.get(_whole(problem))
        if same is not None:
            return _all(group, f"is {same}")
        for run in self._runs(problem):
            if run in self._seen:
                return _all(group, f"shares with {self._seen[run]}: {run}")
        return {}

    def _runs(self, problem: Problem) -> list[str]:
        members = words(problem.prompt)
        return list(ngrams(members, self._size)) if len(members) >= self._size else []


class NearDuplicateProblems:
    """Problems whose wording is that of an earlier one but for a little.

    MinHash signatures find the candidates among all problems, and estimate their similarity.
    """

    def __init__(self, settings: NearDuplicates) -> None:
        from datasketch import MinHashLSH

        self._settings = settings
        self._known: dict[str, MinHash] = {}
        self._index = MinHashLSH(threshold=settings.similarity, num_perm=_PERMUTATIONS)

    def __call__(self, group: Sequence[Rollout]) -> dict[int, str]:
        from datasketch import MinHash

        problem = group[0].problem
        signature = MinHash(num_perm=_PERMUTATIONS)
        runs = ngrams(words_and_signs(problem.prompt), self._settings.ngram)
        signature.update_batch([run.encode(errors="surrogatepass") for run in runs])
        for earlier in sorted(self._index.query(signature)):
            if signature.jaccard(self._known[earlier]) >= self._settings.similarity:
                return _all(group, f"is like problem {earlier}")
        self._known[problem.id] = signature
        self._index.insert(problem.id, signature)
        return {}


def drop_pass_rates(
    group: Sequence[Rollout], window: tuple[float, float], min_reward: float
) -> dict[int, str]:
    """Problems that the base model solves too seldom or too often to teach anything."""
    low, high = window
    right = sum(r.reward >= min_reward and r.verdict.label != "unverifiable" for r in group)
    rate = right / len(group)
    return {} if low <= rate <= high else _all(group, f"pass rate {rate:.4g}")


def _whole(problem: Problem) -> str:
    return " ".join(words_and_signs(problem.prompt))


def _all(group: Sequence[Rollout], why: str) -> dict[int, str]:
    return {rollout.completion.sample: why for rollout in group}
