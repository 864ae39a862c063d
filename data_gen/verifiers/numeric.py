"""The verifier that compares numbers within a tolerance."""

from fractions import Fraction
from typing import Literal

from pydantic import Field

from data_gen.verifiers.answer_text.limits import refusal
from data_gen.verifiers.answer_text.normalise import normal
from data_gen.verifiers.answer_text.numbers import rational
from data_gen.verifiers.answer_text.settings import AnswerSettings, ValueVerifier
from data_gen.verifiers.answer_text.units import quantity
from data_gen.verifiers.answer_text.words import without_lead


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

    def open(self) -> ValueVerifier:
        return ValueVerifier(self, "number", self._number, self._is_close)

    def _is_close(self, expected: Fraction, given: Fraction) -> bool:
        allowed = max(Fraction(self.absolute), Fraction(self.relative) * abs(expected))
        return abs(given - expected) <= allowed

    def _number(self, text: str) -> Fraction | None:
        if refusal(text, self.max_characters, text):
            return None
        plain = without_lead(normal(text))
        name, equals, value = plain.rpartition("=")
        plain = value if equals and len(name) <= 20 and "=" not in name else plain
        measured = quantity(plain.strip())
        number = rational(measured.body)
        return None if number is None else number.value * measured.times
