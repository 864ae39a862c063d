"""Rational numbers in every notation, read exactly and without a parser."""

import re
from dataclasses import dataclass
from fractions import Fraction

from data_gen.verifiers.math_engine.outcome import DIFFERENT, SAME, Outcome, unsure

# A power of ten beyond this is not written out.
LARGEST_EXPONENT = 20_000

_INT = r"\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+"
_DECIMAL = rf"(?:(?:{_INT})(?:\.\d*)?|\.\d+)"
_POWER = r"10\^\{(?P<exponent>[+-]?\d{1,6})\}"
_SCIENTIFIC = re.compile(rf"(?:(?P<mantissa>{_DECIMAL})(?:\\times|\\cdot) ?)?{_POWER}", re.ASCII)
_PLAIN = re.compile(_DECIMAL, re.ASCII)
_FRACTION = re.compile(
    rf"(?:(?P<whole>\d+) ?)?\\frac\{{(?P<top>-?{_DECIMAL})\}}\{{(?P<bottom>-?{_DECIMAL})\}}",
    re.ASCII,
)
_SLASH = re.compile(rf"(?:(?P<whole>\d+) )?(?P<top>{_DECIMAL})/(?P<bottom>{_DECIMAL})", re.ASCII)
_REPEATING = re.compile(
    r"(?P<whole>\d*)\.(?P<fixed>\d*)(?:\\overline\{(?P<bar>\d+)\}|\((?P<round>\d+)\)"
    r"|\\dot\{(?P<first>\d)\}(?:(?P<middle>\d*)\\dot\{(?P<last>\d)\})?)(?:\\ldots)?",
    re.ASCII,
)
_CONTINUED = re.compile(r"(?P<whole>\d*)\.(?P<digits>\d{3,40})\\ldots", re.ASCII)


@dataclass(frozen=True, slots=True)
class Written:
    """A rational number and, where it was written as a decimal, how many decimals it had."""

    value: Fraction
    decimals: int | None = None


def rational(text: str) -> Written | None:
    """The number that a normal text is, None for anything else (also for zero denominators).

    Reads integers, decimals, thousands set off by commas or spaces, fractions, mixed numbers,
    powers of ten and repeating decimals ("0.\\overline{3}", "0.(3)", "0.333...").
    """
    text = text.strip()
    negative = False
    for _ in range(4):
        if text[:1] in ("-", "+"):
            negative ^= text[0] == "-"
            text = text[1:].lstrip()
        inner = _in_brackets(text)
        if inner is None:
            break
        text = inner
    if text[:1] in ("-", "+", ""):
        return None
    found = _unsigned(text)
    if found is None or not negative:
        return found
    return Written(-found.value, found.decimals)


def _in_brackets(text: str) -> str | None:
    opened = (text[:1], text[-1:]) in {("(", ")"), ("{", "}")}
    inner = text[1:-1].strip()
    if opened and inner and not set(inner) & set("(),"):
        return inner if text[0] == "(" or not set(inner) & set("{}") else None
    return None


def _unsigned(text: str) -> Written | None:
    if _PLAIN.fullmatch(text):
        digits = text.replace(",", "").replace(" ", "")
        return Written(Fraction(_decimal(digits)), len(digits.partition(".")[2]))
    if match := _SCIENTIFIC.fullmatch(text):
        return _scientific(match)
    if match := _FRACTION.fullmatch(text) or _SLASH.fullmatch(text):
        return _fraction(match["whole"], match["top"], match["bottom"])
    if match := _REPEATING.fullmatch(text):
        period = match["bar"] or match["round"]
        period = period or match["first"] + (match["middle"] or "") + (match["last"] or "")
        return Written(_repeating(match["whole"], match["fixed"], period))
    if match := _CONTINUED.fullmatch(text):
        return _continued(match["whole"], match["digits"])
    return None


def _decimal(digits: str) -> str:
    return digits.replace(",", "").replace(" ", "").rstrip(".") or "0"


def _scientific(match: re.Match[str]) -> Written | None:
    exponent = int(match["exponent"])
    if abs(exponent) > LARGEST_EXPONENT:
        return None
    mantissa = Fraction(_decimal(match["mantissa"] or "1"))
    return Written(mantissa * Fraction(10) ** exponent, 0)


def _fraction(whole: str | None, top: str, bottom: str) -> Written | None:
    numerator, denominator = (
        Fraction(_decimal(part.lstrip("-"))) * (-1 if part.startswith("-") else 1)
        for part in (top, bottom)
    )
    if not denominator:
        return None
    value = numerator / denominator
    if whole is None:
        return Written(value)
    # Two and three halves: nobody writes a mixed number so, and it may be a product.
    proper = 0 < value < 1 and numerator.denominator == denominator.denominator == 1
    return Written(int(whole) + value) if proper else None


def _repeating(whole: str, fixed: str, period: str) -> Fraction:
    base = Fraction(int(whole + fixed or "0"), 10 ** len(fixed))
    return base + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(fixed))


def _continued(whole: str, digits: str) -> Written | None:
    """Digits that go on: a period is seen where it stands there three times, or twice if long."""
    for length in range(1, len(digits) // 2 + 1):
        times = 3 if length == 1 else 2
        for start in range(len(digits) - length * times + 1):
            rest = digits[start:]
            period = rest[:length]
            if all(digit == period[n % length] for n, digit in enumerate(rest)):
                return Written(_repeating(whole, digits[:start], period))
    return None


def decide(gold: Written, answer: Written) -> Outcome:
    """Compares two numbers exactly.

    A decimal with six places or more that is a fraction rounded is left undecided: 0.3333333 is
    not 1/3, and many would let it pass. Fewer places are simply another number.
    """
    if gold.value == answer.value:
        return SAME
    for rounded, exact in ((gold, answer), (answer, gold)):
        if rounded.decimals is None or rounded.decimals < 6 or exact.decimals is not None:
            continue
        if abs(rounded.value - exact.value) <= Fraction(1, 2 * 10**rounded.decimals):
            return unsure("rounded")
    return DIFFERENT
