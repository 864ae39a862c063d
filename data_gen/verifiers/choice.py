"""The verifier of multiple-choice answers: one letter, or several in any order."""

import re
from typing import Literal

from data_gen.verifiers.answer_text.normalise import normal
from data_gen.verifiers.answer_text.settings import AnswerSettings, ValueVerifier
from data_gen.verifiers.answer_text.words import choice, labelled

_LONGEST = 300
_BETWEEN = re.compile(r"\s*(?:[,;&]|\band\b|\\text\{\s*and\s*\})\s*")


class ChoiceSettings(AnswerSettings):
    """Compares the letters A to J of a choice: "(B)", "B.", "\\text{b}" and "(B) 12" are B.

    Several letters ("A, C" or "A and C") must all be there, in any order. A gold without a letter
    makes every answer unverifiable.
    """

    kind: Literal["choice"] = "choice"

    def open(self) -> ValueVerifier:
        return ValueVerifier(self, "choice", _letters)


def _letters(text: str) -> frozenset[str] | None:
    # No choice is longer than a line, with the text that may stand beside its letter.
    whole = normal(text) if len(text) <= _LONGEST else ""
    if one := labelled(whole):
        return frozenset(one[0])
    found = [choice(part) or _small(part) for part in _BETWEEN.split(whole) if part]
    letters = [letter for letter in found if letter]
    return frozenset(letters) if letters and len(letters) == len(found) else None


def _small(text: str) -> str | None:
    return text.upper() if re.fullmatch("[a-j]", text) else None
