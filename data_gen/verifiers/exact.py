"""The verifier that compares the final answer with the gold answer letter by letter."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from data_gen.types import Verdict
from data_gen.verifiers.answer_text.boxed import last_box, own_turn
from data_gen.verifiers.base import OpenVerifier, Settings


class ExactSettings(Settings):
    """Compares strings, white space at both ends aside.

    `answer` "boxed" takes the content of the last box, "whole" the whole completion.
    """

    kind: Literal["exact"] = "exact"
    answer: Literal["boxed", "whole"] = Field(
        default="boxed", description="the last box, or the whole completion"
    )
    ignore_case: bool = Field(default=False, description="takes A for a")
    stop: tuple[str, ...] = Field(default=(), description="strings that end a completion")

    def open(self) -> "ExactVerifier":
        return ExactVerifier(self)


class ExactVerifier(OpenVerifier):
    def __init__(self, settings: ExactSettings) -> None:
        self._settings = settings

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        return [self._judge(gold, completion) for gold, completion in pairs]

    def close(self) -> None:
        """Nothing to end: this verifier has no processes."""

    def _judge(self, gold: str, completion: str) -> Verdict:
        turn = own_turn(completion, self._settings.stop)
        answer = turn if self._settings.answer == "whole" else last_box(turn)
        answer = answer if answer is None else answer.strip()
        if not answer:
            return Verdict.wrong("no boxed answer" if answer is None else "empty answer")
        same = self._plain(answer) == self._plain(gold)
        return Verdict.correct(answer) if same else Verdict.wrong("different", answer)

    def _plain(self, text: str) -> str:
        stripped = text.strip()
        return stripped.casefold() if self._settings.ignore_case else stripped
