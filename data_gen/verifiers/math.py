"""The verifier of mathematical answers: math-verify, behind processes that may be killed."""

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Literal

from pydantic import Field

from data_gen.types import Verdict
from data_gen.verifiers.base import OpenVerifier, Settings
from data_gen.verifiers.extraction import last_box, own_turn
from data_gen.verifiers.pool import Failure, Pool

_INTEGER = re.compile(r"-?[0-9]{1,300}", re.ASCII)


class MathSettings(Settings):
    """Compares the final answer with the gold answer as mathematics.

    `answer` "boxed" takes the last box alone; "any" also a final statement outside of a box.
    """

    kind: Literal["math"] = "math"
    answer: Literal["boxed", "any"] = "boxed"
    deadline_seconds: float = Field(default=8.0, gt=0, le=600)
    workers: int | None = Field(default=None, ge=1, description="processes; None: one a core")
    memory_megabytes: int = Field(default=2048, ge=512, description="limit of one worker")
    max_characters: int = Field(default=2000, ge=1, description="longest answer that is parsed")
    stop: tuple[str, ...] = Field(default=(), description="strings that end a completion")

    def open(self) -> "MathVerifier":
        return MathVerifier(self)

    @property
    def description(self) -> dict[str, str]:
        libraries = ("math-verify", "latex2sympy2_extended", "sympy")
        settings = super().description
        del settings["workers"]  # Any number of them gives the same verdicts.
        return settings | {name: version(name) for name in libraries}


class MathVerifier(OpenVerifier):
    def __init__(self, settings: MathSettings) -> None:
        self._settings = settings
        limits = {
            "memory_megabytes": settings.memory_megabytes,
            "cpu_seconds": int(settings.deadline_seconds) + 2,
        }
        self._pool = Pool(
            "data_gen.verifiers.math_worker",
            {"setup": limits},
            workers=settings.workers or os.cpu_count() or 1,
            deadline_seconds=settings.deadline_seconds,
        )

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        verdicts: list[Verdict | _Question] = [self._found(*pair) for pair in pairs]
        open_questions = list(dict.fromkeys(v for v in verdicts if isinstance(v, _Question)))
        tasks = [asdict(question) for question in open_questions]
        settled = {
            question: _verdict(question.answer, reply)
            for question, reply in zip(open_questions, self._pool.map(tasks), strict=True)
        }
        return [v if isinstance(v, Verdict) else settled[v] for v in verdicts]

    def close(self) -> None:
        self._pool.close()

    def _found(self, gold: str, completion: str) -> "Verdict | _Question":
        turn = own_turn(completion, self._settings.stop)
        answer = last_box(turn)
        if not answer:
            if self._settings.answer == "boxed" or not turn.strip():
                return Verdict.wrong("no boxed answer")
            # The final statement stands at the end; what comes long before it is working.
            return _Question(gold, turn.strip()[-self._settings.max_characters :], boxed=False)
        if len(answer) > self._settings.max_characters:
            return Verdict.unverifiable("too long")
        if answer == gold:
            return Verdict.correct(answer)
        if _INTEGER.fullmatch(answer) and _INTEGER.fullmatch(gold):
            # Two plain integers are compared without a parser, which is as sure and far quicker.
            same = int(answer) == int(gold)
            return Verdict.correct(answer) if same else Verdict.wrong("different", answer)
        return _Question(gold, answer, boxed=True)


@dataclass(frozen=True, slots=True)
class _Question:
    """What a worker is asked: `answer` is the content of a box, or text that ends in an answer."""

    gold: str
    answer: str
    boxed: bool


def _verdict(answer: str, reply: list[str] | Failure) -> Verdict:
    if isinstance(reply, Failure):
        return Verdict.unverifiable(reply.reason, answer)
    label, reason, read = reply
    if label == "correct":
        return Verdict.correct(read)
    make = Verdict.wrong if label == "wrong" else Verdict.unverifiable
    return make(reason, read)
