"""The verifier that compares numbers within a tolerance."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from pydantic import Field

from data_gen.types import Verdict
from data_gen.verifiers.answer_text.limits import refusal
from data_gen.verifiers.answer_text.normalise import normal
from data_gen.verifiers.answer_text.numbers import rational
from data_gen.verifiers.answer_text.settings import AnswerSettings
from data_gen.verifiers.answer_text.units import quantity
from data_gen.verifiers.answer_text.words import without_lead
from data_gen.verifiers.base import OpenVerifier


class NumericSettings(AnswerSettings):
    """Compares numbers: right is what is off by at most `absolute`, or by `relative` of the gold.

    Reads integers, decimals, thousands, fractions, mixed numbers and e-notation; units and a
    percent sign are left aside, and so is the name in "x = 5". A gold that is no number makes
    every answer unverifiable.
    """

    kind: Literal["numeric"] = "numeric"
    absolute: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="largest difference"
    )
    relative: float = Field(
        default=1e-6, ge=0, lt=1, description="largest difference as a share of the gold answer"
    )

    def open(self) -> "NumericVerifier":
        return NumericVerifier(self)


class NumericVerifier(OpenVerifier):
    def __init__(self, settings: NumericSettings) -> None:
        self._settings = settings
        self._absolute = Fraction(settings.absolute)
        self._relative = Fraction(settings.relative)

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        return [self._judge(gold, completion) for gold, completion in pairs]

    def close(self) -> None:
        """Nothing to end: reading a number needs no process of its own."""

    def _judge(self, gold: str, completion: str) -> Verdict:
        answer = self._settings.find(completion)
        if isinstance(answer, Verdict):
            return answer
        expected, given = self._number(gold), self._number(answer)
        if expected is None:
            return Verdict.unverifiable("the gold is no number", answer)
        if given is None:
            return Verdict.wrong("no number", answer)
        allowed = max(self._absolute, self._relative * abs(expected))
        close = abs(given - expected) <= allowed
        return Verdict.correct(answer) if close else Verdict.wrong("different", answer)

    def _number(self, text: str) -> Fraction | None:
        if refusal(text, self._settings.max_characters, text):
            return None
        plain = without_lead(normal(text))
        name, equals, value = plain.rpartition("=")
        plain = value if equals and len(name) <= 20 and "=" not in name else plain
        measured = quantity(plain.strip())
        number = rational(measured.body)
        return None if number is None else number.value * measured.times
