"""Compares answers that are no mathematics: choices, words, times of the day, named sets."""

import re

from data_gen.verifiers.answer_text.numbers import rational
from data_gen.verifiers.answer_text.words import choice, spoken
from data_gen.verifiers.math_engine.outcome import DIFFERENT, OTHER_KIND, SAME, Outcome, unsure

_NAMED_SET = re.compile(r"\\emptyset|\\mathbb\{[A-Z]\}(?:[\^_]\{?[-+*\d]\}?)?")


def compare_sets(gold: str, answer: str) -> Outcome | None:
    """Sets that have a name of their own, such as \\mathbb{Z}."""
    one, other = (bool(_NAMED_SET.fullmatch(text)) for text in (gold, answer))
    if one and other:
        return SAME if gold == answer else DIFFERENT
    plain = rational(answer if one else gold) is not None
    return OTHER_KIND if (one or other) and plain else None


def compare_choices(gold: str, answer: str) -> Outcome | None:
    mine, given = choice(gold), choice(answer)
    if mine and given:
        return SAME if mine == given else DIFFERENT
    other = answer if mine else gold
    if (mine or given) and re.fullmatch("[a-z]", other) and other.upper() == (mine or given):
        return unsure("a choice or a variable")
    return None


def compare_words(gold: str, answer: str) -> Outcome | None:
    mine, given = spoken(gold), spoken(answer)
    if mine is None and given is None:
        return None
    if mine is not None and given is not None:
        same = mine == given or _hyphens(mine) == _hyphens(given)
        if same:
            return SAME
        letters = re.fullmatch("[A-Za-z ]{2,4}", gold) and re.fullmatch("[A-Za-z ]{2,4}", answer)
        return None if letters else DIFFERENT
    return None


def _hyphens(text: str) -> str:
    return re.sub(r"[-\s']+", "", text)


def compare_clocks(gold: str, answer: str) -> Outcome | None:
    """Times of the day and ratios, number by number."""
    one, other = _colons(gold), _colons(answer)
    if one is None and other is None:
        return None
    if one is None or other is None:
        numbers, _ = one or other or ([], "")
        number = rational(gold if one is None else answer)
        same = number and len(numbers) == 2 and number.value * numbers[1] == numbers[0]
        return unsure("a ratio or a number") if same else DIFFERENT
    if one[0] != other[0]:
        ratios = (
            len(one[0]) == len(other[0]) == 2 and one[0][0] * other[0][1] == one[0][1] * other[0][0]
        )
        return unsure("a ratio in other terms") if ratios else DIFFERENT
    if one[1] == other[1]:
        return SAME
    return DIFFERENT if one[1] and other[1] else unsure("half of the day is missing")


def _colons(text: str) -> tuple[list[int], str] | None:
    text = re.sub(r"^\\text\{([^{}]*)\}$", r"\1", text).strip()
    match = re.fullmatch(
        r"(\d{1,6}(?: ?(?::|\\text\{\s*to\s*\}) ?\d{1,6}){1,3}) ?"
        r"(?:\\text\{)?\s*(?:([AaPp])\.?[Mm]\.?)?\s*\}?",
        text,
    )
    if match is None:
        return None
    return [int(number) for number in re.findall(r"\d+", match[1])], (match[2] or "").lower()
