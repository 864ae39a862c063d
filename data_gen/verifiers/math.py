"""The verifier of mathematical answers: math-verify, behind processes that may be killed."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Literal

from pydantic import Field

from data_gen.types import Label, Verdict
from data_gen.verifiers.answer_text.limits import refusal
from data_gen.verifiers.answer_text.normalise import normal
from data_gen.verifiers.answer_text.numbers import decide, rational
from data_gen.verifiers.answer_text.settings import AnswerSettings
from data_gen.verifiers.base import OpenVerifier
from data_gen.verifiers.math_engine.outcome import SAME, AnswerPair, Outcome, unsure
from data_gen.verifiers.pool import Failure, Pool

# Comparisons that are kept; at the longest answers some 200 MB.
_KEPT = 50_000
# Changes whenever two answers may get another verdict than before.
_RULES = "2"

_Question = tuple[str, str]
"""A gold answer and a completion's answer, as they were written."""


class MathSettings(AnswerSettings):
    """Compares the final answer with the gold answer as mathematics.

    Answers of different kinds are different: a tuple is no set, an equation no number (x = 5 is 5,
    x + y = 1 is not 1). Numbers are compared exactly; where it cannot be known whether two answers
    are the same, the verdict is "unverifiable", never "correct".
    """

    kind: Literal["math"] = "math"
    deadline_seconds: float = Field(
        default=8.0, gt=0, le=600, description="longest time for one comparison"
    )
    workers: int | None = Field(default=None, ge=1, description="processes; None: one a core")
    memory_megabytes: int = Field(default=2048, ge=512, description="limit of one worker")

    def open(self) -> "MathVerifier":
        return MathVerifier(self)

    @property
    def description(self) -> dict[str, str]:
        libraries = ("math-verify", "latex2sympy2_extended", "sympy")
        settings = super().description
        del settings["workers"]  # Verdicts do not depend on it.
        return settings | {"rules": _RULES} | {name: version(name) for name in libraries}


class MathVerifier(OpenVerifier):
    def __init__(self, settings: MathSettings) -> None:
        self._settings = settings
        self._known: dict[_Question, Outcome] = {}
        self._pool: Pool[AnswerPair, tuple[Label, str]] = Pool(
            "data_gen.verifiers.math_engine.worker",
            settings.workers,
            settings.deadline_seconds,
            settings.memory_megabytes,
        )

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        answers = [self._settings.find(completion) for _, completion in pairs]
        golds = [gold for gold, _ in pairs]
        asked = [(g, a) for g, a in zip(golds, answers, strict=True) if not isinstance(a, Verdict)]
        outcomes = self._compare(dict.fromkeys(asked))
        return [
            answer if isinstance(answer, Verdict) else _verdict(outcomes[gold, answer], answer)
            for gold, answer in zip(golds, answers, strict=True)
        ]

    def close(self) -> None:
        self._pool.close()

    def _compare(self, questions: Iterable[_Question]) -> dict[_Question, Outcome]:
        outcomes: dict[_Question, Outcome] = {}
        waiting: list[_Question] = []
        for question in questions:
            if outcome := self._known.get(question) or self._settle(*question):
                outcomes[question] = outcome
            else:
                waiting.append(question)
        tasks = [AnswerPair(gold=gold, answer=answer) for gold, answer in waiting]
        for question, reply in zip(waiting, self._pool.map(tasks), strict=True):
            if isinstance(reply, Failure):
                # A time-out may be the machine's fault, which the next try need not have.
                outcomes[question] = unsure(reply.reason)
                continue
            if len(self._known) >= _KEPT:
                self._known.clear()
            outcomes[question] = self._known[question] = Outcome(*reply)
        return outcomes

    def _settle(self, gold: str, answer: str) -> Outcome | None:
        """The outcome where it needs no worker."""
        if gold == answer:
            return SAME
        longest = self._settings.max_characters
        if reason := refusal(gold, longest, gold):
            return unsure(f"gold: {reason}")
        if reason := refusal(answer, longest, gold):
            return unsure(reason)
        return compare_plain(_normal_gold(gold), normal(answer))


def compare_plain(gold: str, answer: str) -> Outcome | None:
    """The outcome for two normal texts that are equal or both rational numbers; else None."""
    if gold == answer:
        return SAME
    one = rational(gold)
    other = rational(answer) if one else None
    return decide(one, other) if one and other else None


@lru_cache(maxsize=1024)
def _normal_gold(gold: str) -> str:
    return normal(gold)


def _verdict(outcome: Outcome, answer: str) -> Verdict:
    if outcome.same:
        return Verdict.correct(answer)
    make = Verdict.unverifiable if outcome.unsure else Verdict.wrong
    return make(outcome.reason, answer)
