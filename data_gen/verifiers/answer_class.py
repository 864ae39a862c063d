"""Which answers are one answer in different writing: classes for counting votes."""

import re
from collections.abc import Hashable
from functools import lru_cache

from data_gen.verifiers.answer_text.limits import refusal
from data_gen.verifiers.answer_text.normalise import normal
from data_gen.verifiers.answer_text.numbers import rational
from data_gen.verifiers.answer_text.units import based, quantity
from data_gen.verifiers.answer_text.words import choice, labelled, spoken, without_lead, worded
from data_gen.verifiers.math_engine.parse import Group, Listing, Relation, Shape, Union, read

_LONGEST = 300
_PLAIN_INTEGER = re.compile(r"-?\d{1,15}", re.ASCII)
# The left side of an equation that only names what the right side is: x, f(x), (x, y), Area.
_NAME = re.compile(r"[A-Za-z\\(][A-Za-z\\(),_{}\d' ]{0,30}", re.ASCII)


@lru_cache(maxsize=100_000)
def answer_class(answer: str) -> Hashable:
    """The same value for answers that are written differently and mean the same.

    Equivalent are: the same text in other TeX, Unicode or spacing; the same rational number (1/2,
    0.5, \\frac12, 5e-1), with any unit or percent sign beside it or none; the same letter of a
    choice; the same words; lists and sets of equivalent items in any order; tuples, unions and
    relations of equivalent parts in order; "x = 5" and 5. Expressions are not worked out:
    \\sqrt{8} and 2\\sqrt{2} are two classes. What verifiers refuse to read, and texts longer than
    300 characters, are classed by their text without white space. No parser sees the text, so that
    hostile ones cost no more than others.
    """
    text = answer.strip()
    if _PLAIN_INTEGER.fullmatch(text):
        return int(text)
    if len(text) > _LONGEST or refusal(text, _LONGEST, text):
        return "unread", "".join(text.split())
    return _class_of(read(worded(without_lead(normal(text)))))


def _class_of(shape: Shape) -> Hashable:
    if isinstance(shape, Listing):
        named = [_named(item) for item in shape.items]
        names = {one[0] for one in named if one}
        # "x = 1, y = 2" says which is which; "x = 1 or x = 2" are two values.
        return frozenset(named) if len(names) == len(named) else _unordered(shape.items)
    if isinstance(shape, Group):
        if shape.kind == "{}":
            return _unordered(shape.items)
        return shape.kind, *map(_class_of, shape.items)
    if isinstance(shape, Union):
        return "union", _unordered(shape.parts), _unordered(shape.without)
    if isinstance(shape, Relation):
        if stated := _named(shape):
            return stated[1]
        return shape.signs, *map(_class_of, shape.parts)
    return _class_of_term(shape.text)


def _named(shape: Shape) -> tuple[str, Hashable] | None:
    """Name and class of the value that "x = 5" states; None for anything else."""
    if not isinstance(shape, Relation) or shape.signs != ("=",):
        return None
    name = shape.text.partition("=")[0].strip()
    return (name, _class_of(shape.parts[1])) if _NAME.fullmatch(name) else None


def _unordered(items: tuple[Shape, ...]) -> Hashable:
    return frozenset(map(_class_of, items))


def _class_of_term(text: str) -> Hashable:
    text = worded(text)
    if letter := choice(text):
        return "choice", letter
    if marked := labelled(text):
        return "choice", marked[0]
    if number := based(text):
        return "base", number.base, text if number.value is None else number.value
    said = spoken(text)
    measured = quantity(text)
    if value := rational(measured.body):
        return value.value * measured.times
    if said is not None:
        return "words", re.sub(r"[-\s']+", "", said)
    # The halves of the day look like units.
    body = text if ":" in text else measured.body
    return "".join(body.split()), measured.times
