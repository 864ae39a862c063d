"""Compares two terms: numbers, quantities, choices, words and expressions."""

import re
from fractions import Fraction
from typing import Any

from data_gen.verifiers.answer_text.normalise import normal
from data_gen.verifiers.answer_text.numbers import Written, decide, rational
from data_gen.verifiers.answer_text.units import Quantity, based, conversion, quantity
from data_gen.verifiers.answer_text.words import choice, labelled, spoken, without_lead, worded
from data_gen.verifiers.math_engine import sympy_bridge
from data_gen.verifiers.math_engine.compare_structures import StructureComparison
from data_gen.verifiers.math_engine.compare_words import (
    compare_choices,
    compare_clocks,
    compare_sets,
    compare_words,
)
from data_gen.verifiers.math_engine.outcome import DIFFERENT, SAME, Outcome, every, unsure
from data_gen.verifiers.math_engine.parse import Relation, Shape, read
from data_gen.verifiers.math_engine.real_sets import same_region
from data_gen.verifiers.math_engine.to_math_verify import lower_case, other_readings

_UNREAD_ANSWER = "unparsable answer"
_UNREAD_GOLD = "unparsable gold"


def compare(gold: str, answer: str) -> Outcome:
    """Compares two answers as they were written."""
    return MathTerms().compare(normal(gold), normal(answer))


class MathTerms:
    """The comparison of terms behind `StructureComparison`."""

    def __init__(self) -> None:
        self._shapes = StructureComparison(self)

    def compare(self, gold: str, answer: str) -> Outcome:
        gold, answer = worded(without_lead(gold)), worded(without_lead(answer))
        found = self._shapes.same(read(gold), read(answer))
        # What cannot be read as mathematics at all is still what it is.
        return SAME if found.unsure and gold == answer else found

    def same(self, gold: str, answer: str) -> Outcome:
        if gold == answer:
            return SAME
        gold, answer = worded(gold), worded(answer)
        one, other = rational(gold), rational(answer)
        if one and other:
            return decide(one, other)
        return (
            compare_sets(gold, answer)
            or compare_choices(gold, answer)
            or self._labelled(gold, answer)
            or self._bases(gold, answer, one, other)
            or compare_words(gold, answer)
            or compare_clocks(gold, answer)
            or self._quantities(quantity(gold), quantity(answer))
        )

    def same_relation(self, gold: Relation, answer: Relation) -> Outcome:
        if gold.signs == answer.signs:
            found = every(map(self._shapes.same, gold.parts, answer.parts))
            if found.same:
                return SAME
        if len(gold.signs) != 1 or len(answer.signs) != 1:
            return unsure("relations in different forms")
        if (gold.signs[0] in "=") != (answer.signs[0] in "="):
            return DIFFERENT
        one, other = _difference(gold), _difference(answer)
        if one is None or other is None:
            return SAME if gold.text == answer.text else unsure("relations in different forms")
        if _strictness(gold) != _strictness(answer):
            return DIFFERENT
        found = sympy_bridge.ratio(one, other)
        if isinstance(found, Outcome):
            return found
        directed = gold.signs[0] not in ("=", r"\ne", r"\equiv", r"\approx")
        return SAME if not directed or (found.is_real and found > 0) else DIFFERENT

    def same_region(self, gold: Shape, answer: Shape) -> Outcome | None:
        return same_region(gold, answer)

    def rounds(self, exact: str, rounded: str) -> bool:
        number = rational(quantity(rounded).body)
        value = sympy_bridge.expression(quantity(exact).body)
        if number is None or number.decimals is None or value is None:
            return False
        return sympy_bridge.rounds(value, number.decimals, number.value)

    def _labelled(self, gold: str, answer: str) -> Outcome | None:
        """A choice with its letter, such as (B) 12, against the letter or what is chosen."""
        mine, given = labelled(gold), labelled(answer)
        if mine and given:
            letters = mine[0] == given[0]
            return every([SAME if letters else DIFFERENT, self.same(mine[1], given[1])])
        if given:
            letter = choice(gold)
            if letter:
                return SAME if letter == given[0] else DIFFERENT
            return self.same(gold, given[1])
        if mine:
            letter = choice(answer)
            if letter:
                return SAME if letter == mine[0] else DIFFERENT
            return self.same(mine[1], answer)
        return None

    def _bases(
        self, gold: str, answer: str, one: Written | None, other: Written | None
    ) -> Outcome | None:
        """Numbers in a written base; the base is part of the answer where the gold has one."""
        mine, given = based(gold), based(answer)
        if mine is None and given is None:
            return None
        if mine and given:
            if mine.value is None or given.value is None:
                return SAME if gold == answer else unsure("a digit too large for its base")
            if mine.value != given.value:
                return DIFFERENT
            return SAME if mine.base == given.base else unsure("another base")
        number = one if mine is None else other
        written = mine or given
        if number is None or written is None or written.value is None:
            return DIFFERENT if number is None else unsure("a digit too large for its base")
        if number.value == written.value:
            return SAME if mine is None or mine.base == 10 else unsure("another base")
        plain = (answer if mine else gold).lstrip("0")
        digits = (gold if mine else answer).partition("_")[0].strip("()")
        return unsure("no base given") if mine and plain == digits else DIFFERENT

    def _quantities(self, gold: Quantity, answer: Quantity) -> Outcome:
        if gold.percent != answer.percent:
            numbers = rational(gold.body) and rational(answer.body)
            if not numbers or gold.unit or answer.unit:
                return DIFFERENT
        if gold.percent or answer.percent:
            found = self._bodies(gold.body, answer.body, Fraction(1))
            if found.label == "wrong" and gold.percent and not answer.percent:
                return self._bodies(gold.body, answer.body, Fraction(100))
            return found
        if (turned := self._angles(gold, answer)) is not None:
            return turned
        factor = conversion(gold.unit, answer.unit)
        if factor is None:
            return DIFFERENT
        factor *= answer.times / gold.times
        found = self._bodies(gold.body, answer.body, factor)
        one_unit = bool(gold.unit) != bool(answer.unit)
        if found.same and one_unit and (gold.doubtful or answer.doubtful):
            return unsure("a unit or a variable")
        return found

    def _angles(self, gold: Quantity, answer: Quantity) -> Outcome | None:
        """Degrees against a multiple of \\pi, in radians."""
        degrees = [q for q in (gold, answer) if q.unit == "degree"]
        others = [q for q in (gold, answer) if not q.unit and r"\pi" in q.body]
        if len(degrees) != 1 or len(others) != 1:
            return None
        return self._bodies(
            rf"({degrees[0].body})\cdot\frac{{\pi}}{{180}}", others[0].body, Fraction(1)
        )

    def _bodies(self, gold: str, answer: str, factor: Fraction) -> Outcome:
        """Compares `gold` with `factor` times `answer`."""
        one, other = rational(gold), rational(answer)
        if one and other:
            if factor == 1:
                return decide(one, other)
            return SAME if one.value == other.value * factor else DIFFERENT
        if factor != 1:
            answer = rf"\frac{{{factor.numerator}}}{{{factor.denominator}}}\cdot({answer})"
        found = _expressions(gold, answer)
        if found.label != "wrong":
            return found
        for variant, other_text in _readings(gold, answer):
            if _expressions(variant, other_text).same:
                return unsure("ambiguous notation")
        small = lower_case(gold), lower_case(answer)
        if small != (gold, answer) and _expressions(*small).same:
            return unsure("capital or small letters")
        return _approximated(gold, answer, found)


def _readings(gold: str, answer: str) -> list[tuple[str, str]]:
    golds, answers = other_readings(gold), other_readings(answer)
    return (
        [(g, answer) for g in golds]
        + [(gold, a) for a in answers]
        + list(zip(golds, answers, strict=False))
    )


def _expressions(gold: str, answer: str) -> Outcome:
    one, other = sympy_bridge.expression(gold), sympy_bridge.expression(answer)
    if one is None or other is None:
        if gold == answer:
            return SAME
        if one is None and other is None and _squeezed(gold) == _squeezed(answer):
            return SAME
        if spoken(gold) or spoken(answer):
            return DIFFERENT
        return unsure(_UNREAD_GOLD if one is None else _UNREAD_ANSWER)
    return sympy_bridge.compare(one, other)


def _squeezed(text: str) -> str:
    return re.sub(r"\s+|\\text|[{}]", "", text)


def _approximated(gold: str, answer: str, found: Outcome) -> Outcome:
    """A decimal that is an exact value to six decimals or more: right to some, wrong to others."""
    for exact, rounded in ((gold, answer), (answer, gold)):
        number = rational(rounded)
        if number is None or number.decimals is None or number.decimals < 6:
            continue
        value = sympy_bridge.expression(exact)
        if _is_constant(value) and sympy_bridge.rounds(value, number.decimals, number.value):
            return unsure("rounded")
    return found


def _is_constant(value: Any) -> bool:
    return value is not None and bool(getattr(value, "is_number", False))


def _difference(relation: Relation) -> Any:
    """The two sides' difference as an object, its sign that of "less"; None if unreadable."""
    texts = [getattr(part, "text", None) for part in relation.parts]
    if None in texts:
        return None
    sides = [sympy_bridge.expression(str(text)) for text in texts]
    if any(side is None or not hasattr(side, "is_commutative") for side in sides):
        return None
    difference = sides[0] - sides[1]
    return -difference if relation.signs[0] in (">", r"\ge") else difference


def _strictness(relation: Relation) -> str:
    sign = relation.signs[0]
    return {">": "<", r"\ge": r"\le"}.get(sign, sign)
