"""The verifier of mathematical answers: math-verify, behind processes that may be killed."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Literal

from pydantic import Field

from data_gen.types import Verdict
from data_gen.verifiers.answer_text.limits import refusal
from data_gen.verifiers.answer_text.normalise import normal
from data_gen.verifiers.answer_text.settings import AnswerSettings
from data_gen.verifiers.base import OpenVerifier
from data_gen.verifiers.math_engine.cache import Cache
from data_gen.verifiers.math_engine.fast_path import settled
from data_gen.verifiers.math_engine.outcome import Outcome
from data_gen.verifiers.pool import Failure, Pool

# Of pairs whose comparison is remembered; at the longest answers some 200 MB.
_REMEMBERED = 50_000
# Changes whenever two answers may get another verdict than before.
_RULES = "2"


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
    shortcuts: bool = Field(
        default=True,
        description="settle equal texts and plain numbers without the parser; off is slower, and"
        " compares everything as mathematics",
    )
    remember: bool = Field(default=True, description="compare the same two answers only once")

    def open(self) -> "MathVerifier":
        return MathVerifier(self)

    @property
    def description(self) -> dict[str, str]:
        libraries = ("math-verify", "latex2sympy2_extended", "sympy")
        settings = super().description
        for speed in ("workers", "remember", "shortcuts"):
            del settings[speed]  # Verdicts do not depend on it.
        return settings | {"rules": _RULES} | {name: version(name) for name in libraries}


class MathVerifier(OpenVerifier):
    def __init__(self, settings: MathSettings) -> None:
        self._settings = settings
        self._known: Cache[_Question, Outcome] = Cache(_REMEMBERED)
        limits = {
            "memory_megabytes": settings.memory_megabytes,
            "cpu_seconds": int(settings.deadline_seconds) + 2,
        }
        self._pool = Pool(
            "data_gen.verifiers.math_engine.worker",
            {"setup": limits},
            workers=settings.workers or os.cpu_count() or 1,
            deadline_seconds=settings.deadline_seconds,
        )

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        found = [self._found(*pair) for pair in pairs]
        questions = [asked[0] for asked in found if not isinstance(asked, Verdict)]
        if self._settings.remember:
            questions = list(dict.fromkeys(questions))
        findings = self._findings(questions)
        if self._settings.remember:
            settled_now = dict(zip(questions, findings, strict=True))
            return [
                a if isinstance(a, Verdict) else _verdict(settled_now[a[0]], a[1]) for a in found
            ]
        in_order = iter(findings)
        return [a if isinstance(a, Verdict) else _verdict(next(in_order), a[1]) for a in found]

    def close(self) -> None:
        self._pool.close()

    def _found(self, gold: str, completion: str) -> "Verdict | tuple[_Question, str]":
        """A verdict where the answer alone decides, else what is to be compared, and the answer."""
        answer = self._settings.find(completion)
        if isinstance(answer, Verdict):
            return answer
        return _Question(gold, answer, self._settings.shortcuts), answer

    def _findings(self, questions: "Sequence[_Question]") -> list[Outcome]:
        findings = [self._at_once(question) for question in questions]
        waiting = [n for n, finding in enumerate(findings) if finding is None]
        tasks = [_task(questions[number]) for number in waiting]
        for number, reply in zip(waiting, self._pool.map(tasks), strict=True):
            finding = _finding(reply)
            findings[number] = finding
            # A time-out may be the machine's fault, which the next try need not have.
            if self._settings.remember and not isinstance(reply, Failure):
                self._known.put(questions[number], finding)
        return [finding for finding in findings if finding is not None]

    def _at_once(self, question: "_Question") -> Outcome | None:
        if self._settings.remember and (known := self._known.get(question)):
            return known
        if self._settings.shortcuts and question.gold == question.answer:
            return Outcome("correct")
        longest = self._settings.max_characters
        if reason := refusal(question.gold, longest, question.gold):
            return Outcome("unverifiable", f"gold: {reason}")
        if reason := refusal(question.answer, longest, question.gold):
            return Outcome("unverifiable", reason)
        if not self._settings.shortcuts:
            return None
        return settled(_normal_gold(question.gold), normal(question.answer))


@dataclass(frozen=True, slots=True)
class _Question:
    """What a worker is asked: two answers as they were written."""

    gold: str
    answer: str
    shortcuts: bool


@lru_cache(maxsize=1024)
def _normal_gold(gold: str) -> str:
    return normal(gold)


def _task(question: _Question) -> dict[str, object]:
    return asdict(question)


def _finding(reply: list[str] | Failure) -> Outcome:
    if isinstance(reply, Failure):
        return Outcome("unverifiable", reply.reason)
    label, reason = reply
    return Outcome(
        "correct" if label == "correct" else "wrong" if label == "wrong" else "unverifiable", reason
    )


def _verdict(finding: Outcome, answer: str) -> Verdict:
    if finding.same:
        return Verdict.correct(answer)
    make = Verdict.unverifiable if finding.unsure else Verdict.wrong
    return make(finding.reason, answer)
