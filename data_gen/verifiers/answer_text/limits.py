"""Which answers are turned away before anything reads them: those that no parser should see."""

import math
import re

from data_gen.verifiers.answer_text.numbers import LARGEST_EXPONENT

DEEPEST = 40
_LONGEST_NUMBER = 1000
_LARGEST_SYMBOLIC_EXPONENT = 1000
_LARGEST_PRODUCT = 20_000
_LARGEST_FACTORIAL = 5000
_MOST_POWERS = 60

_DIGITS = re.compile(r"\d+")
_POWER = re.compile(r"\^\{?[-+]?\(?(\d+)")
_E = re.compile(r"\d\.?[eE][+-]?(\d+)")
_FACTORIAL = re.compile(r"(\d+)\s*!")
_STACKED = re.compile(r"!\s*[)}\]]*\s*!")
_OF_BRACKETS = re.compile(r"[)}]\s*!")
_CHOOSE = re.compile(r"\\[dt]?binom\s*\{?(\d+)")
_COMMAND = re.compile(r"\\([A-Za-z]+)")
# Commands that compute at the length of their numbers; an answer is what comes out of them.
_OPERATOR = re.compile(r"\\operatorname\*?\s*\{\s*([A-Za-z]+)\s*\}\s*\(?\s*[\d\\]")
_OPERATORS = frozenset({
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh",
    "tanh", "ln", "log", "lg", "exp", "gcd", "lcm", "max", "min",
})  # fmt: skip
_INDEX = re.compile(r"(?:_\{[^{}]*){4}")
_POWER_OF_SUM = re.compile(r"[)\]}]\s*\^\{?(\d+)")
_EXPONENT = re.compile(r"\^\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_PRODUCT = re.compile(r"\*|\\cdot|\\times|\)\s*\(")
_COMPUTING = frozenset({"sum", "prod", "int", "iint", "iiint", "oint", "lim", "det", "coprod"})


def refusal(text: str, longest: int, gold: str = "") -> str | None:
    """Why a text may not be parsed, None where it may. `longest` is in characters.

    Sums, products, integrals and limits that are not worked out are allowed where the gold has
    the same command.
    """
    if len(text) > longest:
        return "too long"
    if any(len(number) > _LONGEST_NUMBER for number in _DIGITS.findall(text)):
        return "too many digits"
    if _depth(text) > DEEPEST or _INDEX.search(text):
        return "too deeply nested"
    if _has_huge_power(text):
        return "exponent too large"
    if _has_huge_factorial(text):
        return "factorial too large"
    for operator in _OPERATOR.findall(text):
        if operator not in _OPERATORS and operator not in gold:
            return f"unknown operator {operator}"
    commands = set(_COMMAND.findall(text)) & _COMPUTING
    if commands - set(_COMMAND.findall(gold)):
        return f"\\{min(commands)} not worked out"
    return None


def _depth(text: str) -> int:
    depth = deepest = 0
    for sign in text:
        if sign in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif sign in ")]}":
            depth = max(0, depth - 1)
    return deepest + max(text.count("\\left"), 0) // 50


def _has_huge_power(text: str) -> bool:
    symbolic = bool(re.search(r"(?<![\\A-Za-z])[A-Za-z](?![A-Za-z])", text))
    largest = _LARGEST_SYMBOLIC_EXPONENT if symbolic else LARGEST_EXPONENT
    exponents = [int(number) for number in _POWER.findall(text)]
    if any(int(number) > LARGEST_EXPONENT for number in _E.findall(text)):
        return True
    if any(number > LARGEST_EXPONENT for number in exponents):
        return True
    if symbolic and any(number > largest for number in exponents):
        # A power of a plain number beside variables is harmless.
        bases = re.findall(r"(.)\s*\^\{?[-+]?\(?(\d+)", text)
        if any(int(number) > largest and not base.isdigit() for base, number in bases):
            return True
    if (r"\binom" in text or "!" in text) and max(exponents, default=0) > 1000:
        return True
    # A power of a power: the two largest exponents may multiply.
    if _POWER_OF_SUM.search(text) and math.prod(sorted(exponents)[-2:]) > _LARGEST_PRODUCT:
        return True
    if any(_is_huge_product(exponent) for exponent in _EXPONENT.findall(text)):
        return True
    return len(exponents) > _MOST_POWERS or _tower(text) > LARGEST_EXPONENT


def _is_huge_product(exponent: str) -> bool:
    """Whether a written-out exponent such as 9999 \\cdot 9999, or 1000!, is too large."""
    numbers = [min(int(number), LARGEST_EXPONENT + 1) for number in _DIGITS.findall(exponent)]
    if "!" in exponent and any(number > 7 for number in numbers):
        return True
    return bool(_PRODUCT.search(exponent)) and math.prod(numbers) > LARGEST_EXPONENT


def _tower(text: str) -> float:
    """The largest exponent that a tower of plain numbers comes to, infinite from four storeys."""
    largest = 0.0
    for match in re.finditer(r"\^", text):
        largest = max(largest, _exponent(text, match.end(), 0))
    return largest


def _exponent(text: str, start: int, storey: int) -> float:
    match = re.compile(r"[\s{(]*[-+]?\s*[{(]*(\d+|[A-Za-z\\])?[\s)}]*?\s*(\^)?").match(text, start)
    if match is None or not match[1]:
        return 0.0
    number = float(int(match[1])) if match[1].isdigit() else 2.0
    if not match[2]:
        return number if match[1].isdigit() else 0.0
    if storey >= 2:
        return float("inf")
    above = _exponent(text, match.end(), storey + 1)
    try:
        return float(number**above)
    except OverflowError:
        return float("inf")


def _has_huge_factorial(text: str) -> bool:
    if any(int(number) > _LARGEST_FACTORIAL for number in _FACTORIAL.findall(text)):
        return True
    if _STACKED.search(text):
        return True
    large = any(int(number) > _LARGEST_FACTORIAL for number in _DIGITS.findall(text))
    if _OF_BRACKETS.search(text) and (large or re.search(r"\d\s*\^", text)):
        return True
    return any(int(number) > _LARGEST_FACTORIAL for number in _CHOOSE.findall(text))
