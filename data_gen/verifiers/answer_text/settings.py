"""What verifiers that compare a final answer share: their settings, and how it is found."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import Field

from data_gen.types import Verdict
from data_gen.verifiers.answer_text.boxed import final_boxes, own_turn
from data_gen.verifiers.answer_text.final_statement import stated_answer
from data_gen.verifiers.base import OpenVerifier, Settings


class AnswerSettings(Settings):
    """Where the answer is looked for.

    `answer` "boxed" takes the last box alone, with those that "and", "or" or a comma joins to it;
    "any" also a final statement outside of a box ("The answer is 6", "#### 6"), if it comes last.
    What follows the end of the turn, a stop string or an invented next problem never counts, and
    neither does a box that is not closed.
    """

    answer: Literal["boxed", "any"] = Field(
        default="boxed",
        description="the last box alone, or any final statement (The answer is 6, #### 6)",
    )
    stop: tuple[str, ...] = Field(default=(), description="strings that end a completion")
    max_characters: int = Field(
        default=2000, ge=1, le=20_000, description="longest answer that is read"
    )

    def find(self, completion: str) -> str | Verdict:
        """The final answer as it was written, or the verdict where there is none to compare."""
        turn = own_turn(completion, self.stop)
        answer = final_boxes(turn) if self.answer == "boxed" else stated_answer(turn)
        if not answer:
            return Verdict.wrong("no boxed answer" if self.answer == "boxed" else "no answer")
        if len(answer) > self.max_characters:
            return Verdict.unverifiable("too long")
        return answer


class ValueVerifier(OpenVerifier):
    """Compares the values that `read` finds in the final answer and in the gold answer.

    `read` gives None for text without a value; `what` is the kind of value, as reasons name it.
    """

    def __init__(
        self,
        settings: AnswerSettings,
        what: str,
        read: Callable[[str], Any],
        agree: Callable[[Any, Any], bool] = operator.eq,
    ) -> None:
        self._settings, self._what = settings, what
        self._read, self._agree = read, agree

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        return [self._judge(gold, completion) for gold, completion in pairs]

    def close(self) -> None:
        """Nothing to end: reading a value needs no process of its own."""

    def _judge(self, gold: str, completion: str) -> Verdict:
        answer = self._settings.find(completion)
        if isinstance(answer, Verdict):
            return answer
        expected, given = self._read(gold), self._read(answer)
        if expected is None:
            return Verdict.unverifiable(f"the gold is no {self._what}", answer)
        if given is None:
            return Verdict.wrong(f"no {self._what}", answer)
        agree = self._agree(expected, given)
        return Verdict.correct(answer) if agree else Verdict.wrong("different", answer)
