"""Terms as sympy objects, made by math-verify's parser, and their exact comparison."""

import logging
import random
import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy
from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify

from data_gen.verifiers.math_engine.outcome import (
    DIFFERENT,
    OTHER_KIND,
    SAME,
    Outcome,
    every,
    unsure,
)
from data_gen.verifiers.math_engine.to_math_verify import parsable

# The parser and the grader report what they cannot read; the verdict says so.
logging.getLogger("math_verify").setLevel(logging.CRITICAL)
logging.getLogger("latex2sympy2_extended").setLevel(logging.CRITICAL)

# Its own mending would take letters such as c and t for units, and drop them.
_AS_WRITTEN = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=False, nits=False, boxed="last"
)
_BOX_ALONE = [
    LatexExtractionConfig(
        try_extract_without_anchor=False, boxed_match_priority=0, normalization_config=_AS_WRITTEN
    )
]
_DIGITS = 40
_CONFIRMED_DIGITS = 300
_POINTS = 6
_WHOLE_POINTS = 10
_UNREAD = (
    sympy.Derivative, sympy.Integral, sympy.Sum, sympy.Product, sympy.Limit,
    sympy.core.relational.Relational,
)  # fmt: skip


@lru_cache(maxsize=4096)
def expression(text: str) -> Any:
    """The sympy object of a normal text, None where it cannot be read as a whole."""
    written = parsable(text)
    if not written:
        return None
    # The parent holds the deadline; math-verify's own alarm would come back as a plain "wrong".
    found = parse(
        f"\\boxed{{{written}}}",
        extraction_config=_BOX_ALONE,
        fallback_mode="no_fallback",
        parsing_timeout=0,
    )
    if not found or isinstance(found[0], str):
        return None
    read = found[0]
    if isinstance(read, sympy.MatrixBase):
        read = sympy.ImmutableMatrix(read)
    elif not isinstance(read, sympy.Expr):
        return None
    if read.has(*_UNREAD) or not _has_letters(read, written):
        return None
    if isinstance(read, sympy.MatrixBase):
        return read.applyfunc(_completed)
    return _completed(read)


def _has_letters(read: Any, written: str) -> bool:
    """Whether no letter was dropped on the way."""
    letters = set(re.sub(r"\\(?:begin|end)\{\w+\}|\\[A-Za-z]+|[^A-Za-z]", "", written)) - {
        "e",
        "E",
        "i",
    }
    return letters <= set("".join(str(a) for a in read.atoms(sympy.Symbol)) + str(read))


def _completed(read: Any) -> Any:
    """Worked out where that is cheap, with i as the imaginary unit and f(x) as an unknown."""
    unknown = {f: sympy.Symbol(str(f)) for f in read.atoms(sympy.core.function.AppliedUndef)}
    read = read.xreplace(unknown) if unknown else read
    imaginary = {s: sympy.I for s in read.free_symbols if s.name == "i"}
    names = {s: sympy.Symbol(s.name) for s in read.free_symbols if s.name != "i"}
    names |= {s: sympy.E for s in read.free_symbols if s.name == "e"}
    read = read.xreplace(names | imaginary)
    done = read.doit()
    return sympy.zoo if done.has(sympy.nan, sympy.zoo) else done


def compare(gold: Any, answer: Any) -> Outcome:
    """Compares two objects that `expression` gave: exactly, or to 300 digits."""
    if isinstance(gold, sympy.MatrixBase) or isinstance(answer, sympy.MatrixBase):
        if not (isinstance(gold, sympy.MatrixBase) and isinstance(answer, sympy.MatrixBase)):
            return OTHER_KIND
        if gold.shape != answer.shape:
            turned = 1 in gold.shape and gold.shape == answer.shape[::-1]
            return unsure("a row or a column") if turned else DIFFERENT
        return every(map(compare, gold, answer))
    if gold is sympy.zoo:
        return unsure("undefined gold")
    if answer is sympy.zoo:
        return DIFFERENT
    if gold == answer:
        return SAME
    if gold.is_Rational and answer.is_Rational:
        return DIFFERENT
    if gold.is_infinite or answer.is_infinite:
        return DIFFERENT
    names = sorted({s.name for s in gold.free_symbols | answer.free_symbols})
    if not names:
        return _constants(gold, answer)
    return _functions(gold, answer, names)


def _constants(gold: Any, answer: Any) -> Outcome:
    near = _near(gold, answer, _DIGITS)
    if near is None:
        return SAME if verify(gold, answer, timeout_seconds=0) else unsure("not computable")
    if not near:
        return DIFFERENT
    if _near(gold, answer, _CONFIRMED_DIGITS):
        return SAME
    return SAME if (gold - answer).equals(0) else DIFFERENT


def _near(gold: Any, answer: Any, digits: int) -> bool | None:
    """Whether two values agree to nearly all of so many digits; None where one has no value."""
    one, other = sympy.N(gold, digits), sympy.N(answer, digits)
    if not (one.is_number and other.is_number and one.is_finite and other.is_finite):
        return None
    if one.has(sympy.I) != other.has(sympy.I) and digits == _DIGITS:
        one, other = sympy.N(one, digits, chop=True), sympy.N(other, digits, chop=True)
    scale = max(abs(one), abs(other))
    if not scale.is_comparable:
        return None
    return bool(abs(one - other) <= scale * sympy.Float(10) ** (8 - digits))


def _functions(gold: Any, answer: Any, names: list[str]) -> Outcome:
    """Compares at random points: of positive numbers first, then of both signs."""
    chance = random.Random(0)
    agreed = 0
    for number in range(_POINTS):
        signed = number >= _POINTS // 2
        point = {name: _rational(chance, signed) for name in names}
        near = _near_at(gold, answer, point)
        if near is None:
            continue
        if not near:
            if signed and agreed:
                return unsure("equal for positive values only")
            return _at_whole_numbers(gold, answer, names)
        agreed += 1
    if agreed >= 2:
        return SAME
    return SAME if verify(gold, answer, timeout_seconds=0) else unsure("not computable")


def _at_whole_numbers(gold: Any, answer: Any, names: list[str]) -> Outcome:
    special = (sympy.floor, sympy.ceiling, sympy.factorial, sympy.binomial, sympy.cos, sympy.sin)
    powers = [
        p for e in (gold, answer) for p in e.atoms(sympy.Pow) if p.base.could_extract_minus_sign()
    ]
    if len(names) > 2 or not (gold.has(*special) or answer.has(*special) or powers):
        return DIFFERENT
    for number in range(1, _WHOLE_POINTS):
        point = {name: sympy.Integer(number + 2 * n) for n, name in enumerate(names)}
        if not _near_at(gold, answer, point):
            return DIFFERENT
    return unsure("equal for whole numbers only")


def _near_at(gold: Any, answer: Any, point: dict[str, Any]) -> bool | None:
    values = {sympy.Symbol(name): value for name, value in point.items()}
    one, other = gold.subs(values), answer.subs(values)
    if one.has(sympy.nan, sympy.zoo, sympy.oo) or other.has(sympy.nan, sympy.zoo, sympy.oo):
        return None
    return True if one == other else _near(one, other, _DIGITS)


def _rational(chance: random.Random, signed: bool) -> Any:
    value = sympy.Rational(chance.randrange(200, 2000), chance.choice([487, 499, 503, 521]))
    return -value if signed and chance.random() < 0.6 else value


def ratio(gold: Any, answer: Any) -> Outcome | Any:
    """The constant by which two functions differ; a finding where there is none."""
    names = sorted({s.name for s in gold.free_symbols | answer.free_symbols})
    if not names or gold.free_symbols != answer.free_symbols:
        return DIFFERENT
    chance = random.Random(1)
    found: list[Any] = []
    for number in range(_POINTS):
        point = {sympy.Symbol(name): _rational(chance, number % 2 == 1) for name in names}
        one, other = (sympy.N(e.subs(point), _DIGITS) for e in (gold, answer))
        if not (one.is_number and other.is_number and one.is_finite and other.is_finite):
            continue
        if abs(other) < sympy.Float(10) ** -20 or abs(one) < sympy.Float(10) ** -20:
            continue
        found.append(sympy.N(one / other, _DIGITS))
    if len(found) < 3:
        return unsure("not computable")
    first = found[0]
    same = all(
        abs(value - first) <= abs(first) * sympy.Float(10) ** (10 - _DIGITS) for value in found
    )
    return first if same else DIFFERENT


def rounds(exact: Any, decimals: int, value: Fraction) -> bool:
    """Whether `value` is the constant `exact` rounded to so many decimals."""
    if exact.free_symbols or not exact.is_number:
        return False
    number = sympy.N(exact, _DIGITS + decimals)
    if not number.is_real:
        return False
    half = sympy.Rational(1, 2 * 10**decimals)
    return bool(abs(number - sympy.Rational(value.numerator, value.denominator)) <= half)
