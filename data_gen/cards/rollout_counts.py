"""What a set of rollouts holds: its counts, made problem by problem."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pydantic import (
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from data_gen.cards.counts import CardPart, Count, Figure, ratio
from data_gen.types import Problem, Rollout
from data_gen.views import accepted, problem_groups

# Of a problem's rollouts, the share that is correct: none, up to a tenth, ..., all.
_PASS_RATES = ("0", *(f"({n / 10:g}, {(n + 1) / 10:g}]" for n in range(9)), "(0.9, 1)", "1")


class RolloutCounts(CardPart):
    """Counts of rollouts; lengths are in tokens.

    `problems_left_out` gave no rollouts, since their prompts are too long or they have no solution
    to learn from. `rows_dropped` are the rows that were no problems, as "rows_dropped_REASON";
    `verdict_reasons` have names such as "wrong_REASON". In JSON the members of both are fields.
    """

    problems: Count
    problems_all_correct: Count
    problems_mixed: Count
    problems_none_correct: Count
    problems_by_pass_rate: dict[str, Count]
    problems_left_out: Count
    problems_left_out_ids: list[str]
    rows_dropped: dict[str, Count]
    rollouts: Count
    correct: Count
    wrong: Count
    unverifiable: Count
    verdict_reasons: dict[str, Count]
    truncated: Count
    share_truncated: Figure
    accuracy: Figure
    mean_tokens: Figure
    max_tokens: Count | None

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: JsonValue) -> JsonValue:
        if not isinstance(value, dict):
            return value
        starts = ("correct_", "wrong_", "unverifiable_")
        rows = {key: one for key, one in value.items() if key.startswith("rows_dropped_")}
        reasons = {key: one for key, one in value.items() if key.startswith(starts)}
        others = {key: one for key, one in value.items() if key not in rows | reasons}
        return {"rows_dropped": rows, "verdict_reasons": reasons, **others}

    @model_serializer(mode="wrap")
    def _spread(self, handler: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        spread: dict[str, JsonValue] = {}
        for name, value in handler(self).items():
            spread |= value if name in ("rows_dropped", "verdict_reasons") else {name: value}
        return spread


class SampledCounts(RolloutCounts):
    """Counts of rollouts that nothing was chosen from yet."""

    rollouts_without_logps: Count


class DatasetCounts(RolloutCounts):
    """Counts of rollouts to learn from.

    Accepted is what `views.accepted` says; an accepted duplicate repeats another accepted
    completion of its problem.
    """

    accepted: Count
    accepted_duplicates: Count
    accepted_distinct: Count
    rollouts_without_logps: Count


class RolloutCounter:
    """Counts rollouts and keeps none of them."""

    def __init__(self) -> None:
        self.rollouts = 0
        self.correct = 0
        self._tokens = 0
        self._max_tokens: int | None = None
        self._count: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._rates: Counter[str] = Counter()

    def add(self, rollouts: Iterable[Rollout]) -> None:
        """Counts all rollouts of some problems, those of a problem side by side.

        Raises DataError for a problem that comes back.
        """
        for group in problem_groups(rollouts):
            right = sum(rollout.verdict.label == "correct" for rollout in group)
            self._rates[_pass_rate(right, len(group))] += 1
            self.correct += right
            self.rollouts += len(group)
            for rollout in group:
                self._count[rollout.verdict.label] += 1
                self._count["truncated"] += rollout.completion.truncated
                self._count["without_logps"] += not rollout.completion.logps
                tokens = len(rollout.completion.tokens)
                self._tokens += tokens
                self._max_tokens = max(tokens, self._max_tokens or 0)
                if rollout.verdict.reason:
                    self._reasons[rollout.verdict.label, _slug(rollout.verdict.reason)] += 1

    def sampled(
        self, *, left_out: Sequence[Problem] = (), dropped: Mapping[str, int] | None = None
    ) -> SampledCounts:
        """`left_out` are problems that gave no rollouts, `dropped` rows that were no problems, by
        reason."""
        return SampledCounts(
            **dict(self._counts(left_out, dropped or {})),
            rollouts_without_logps=self._count["without_logps"],
        )

    def _counts(self, left_out: Sequence[Problem], dropped: Mapping[str, int]) -> RolloutCounts:
        rates = self._rates
        return RolloutCounts(
            problems=rates.total(),
            problems_all_correct=rates["1"],
            problems_mixed=rates.total() - rates["0"] - rates["1"],
            problems_none_correct=rates["0"],
            problems_by_pass_rate={name: rates[name] for name in _PASS_RATES},
            problems_left_out=len(left_out),
            problems_left_out_ids=[problem.id for problem in left_out],
            rows_dropped={f"rows_dropped_{_slug(why)}": n for why, n in dropped.items()},
            rollouts=self.rollouts,
            correct=self.correct,
            wrong=self._count["wrong"],
            unverifiable=self._count["unverifiable"],
            verdict_reasons={
                f"{label}_{why}": n for (label, why), n in sorted(self._reasons.items())
            },
            truncated=self._count["truncated"],
            share_truncated=ratio(self._count["truncated"], self.rollouts),
            accuracy=ratio(self.correct, self.rollouts),
            mean_tokens=ratio(self._tokens, self.rollouts),
            max_tokens=self._max_tokens,
        )


class DatasetCounter(RolloutCounter):
    """Counts the accepted rollouts, those with at least `min_reward`, as well."""

    def __init__(self, min_reward: float = 1.0) -> None:
        super().__init__()
        self._min_reward = min_reward
        self._accepted = 0
        self._distinct = 0

    def add(self, rollouts: Iterable[Rollout]) -> None:
        for group in problem_groups(rollouts):
            super().add(group)
            self._accepted += len(accepted(group, min_reward=self._min_reward, unique=False))
            self._distinct += len(accepted(group, min_reward=self._min_reward, unique=True))

    def dataset(self) -> DatasetCounts:
        return DatasetCounts(
            **dict(self._counts((), {})),
            accepted=self._accepted,
            accepted_duplicates=self._accepted - self._distinct,
            accepted_distinct=self._distinct,
            rollouts_without_logps=self._count["without_logps"],
        )


def _pass_rate(right: int, samples: int) -> str:
    """The bin of _PASS_RATES, in whole numbers so that no rounding moves a problem."""
    if right in (0, samples):
        return "0" if right == 0 else "1"
    return _PASS_RATES[-(-10 * right // samples)]


def _slug(reason: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", reason.casefold()).strip("_") or "other"
