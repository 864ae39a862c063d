"""Compares a gold answer with an answer by their kinds; the terms are left to `Terms`."""

import re
from collections.abc import Sequence
from typing import Protocol

from data_gen.verifiers.math_engine.outcome import (
    DIFFERENT,
    OTHER_KIND,
    SAME,
    Outcome,
    every,
    matched,
    unsure,
)
from data_gen.verifiers.math_engine.parse import (
    Group,
    Listing,
    Relation,
    Shape,
    Term,
    Union,
    is_ambiguous_number,
)
from data_gen.verifiers.math_engine.real_sets import interval_of

_INEQUALITIES = {"<", ">", r"\le", r"\ge", r"\ne"}
_LETTER = (
    r"(?:[A-Za-z]|\\(?:alpha|beta|gamma|delta|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|rho|sigma"
    r"|tau|phi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Sigma|Phi|Psi|Omega|ell) ?)"
)
_SUBSCRIPT = r"(?:_\{(?:[^{}]|\\text\{[^{}]*\})*\})?'*"
# What names a quantity, so that "name = value" states the value.
_NAME = re.compile(
    rf"{_LETTER}{_SUBSCRIPT}"
    rf"|{_LETTER}{_SUBSCRIPT}(?:\^\{{-1\}})?\([^()]*\)"
    r"|\\text\{[^{}]*\}(?:\([^()]*\))?|[A-Za-z]{4,}(?: [A-Za-z]+)*"
    r"|(?:m ?)?(?:\\angle|\\triangle) ?[A-Z](?: ?[A-Z]){0,2}"
    r"|[\[|]?[A-Z](?: ?[A-Z]){1,3}[\]|]?|\\overline\{[A-Z]{2}\}"
    r"|\\(?:dot|ddot|hat|bar|vec|mathbb|overline)\{[A-Za-z]\}|\\frac\{d ?[a-z]\}\{d ?[a-z]\}"
)
_NOT_NAMES = {r"\pi", r"\infty", r"\emptyset", "e", "i"}


class Terms(Protocol):
    """Compares what has no inner structure to this module."""

    def same(self, gold: str, answer: str) -> Outcome:
        """Compares two terms."""

    def same_relation(self, gold: Relation, answer: Relation) -> Outcome:
        """Compares two equations or inequalities as conditions."""

    def rounds(self, exact: str, rounded: str) -> bool:
        """Whether the second term is the first one, rounded to the decimals that it has."""

    def same_region(self, gold: Shape, answer: Shape) -> Outcome | None:
        """Compares two sets of real numbers; None where one of them is not known to be one."""


class StructureComparison:
    """Compares shapes; a difference of kind is a difference."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms

    def same(self, gold: Shape, answer: Shape) -> Outcome:
        if isinstance(gold, Relation) or isinstance(answer, Relation):
            return self._with_relation(gold, answer)
        if isinstance(gold, Term) and isinstance(answer, Term):
            return self._terms.same(gold.text, answer.text)
        if isinstance(gold, Listing) and isinstance(answer, Listing):
            return self._listings(gold, answer)
        if isinstance(gold, Group) and isinstance(answer, Group):
            found = self._groups(gold, answer)
            return found if found.label != "wrong" else self._regions(gold, answer) or found
        region = self._regions(gold, answer)
        if region is not None:
            return region
        if isinstance(gold, Listing) or isinstance(answer, Listing):
            return self._listing_and_other(gold, answer)
        if isinstance(gold, Union) and isinstance(answer, Union):
            return matched(gold.parts, answer.parts, self.same, counted=False)
        return self._singletons(gold, answer)

    def _regions(self, gold: Shape, answer: Shape) -> Outcome | None:
        return self._terms.same_region(gold, answer)

    def _groups(self, gold: Group, answer: Group) -> Outcome:
        if gold.kind == answer.kind == "{}":
            return matched(gold.items, answer.items, self.same, counted=False)
        kinds = {gold.kind, answer.kind}
        if len(gold.items) != len(answer.items):
            return DIFFERENT
        if len(kinds) > 1 and ("{}" in kinds or kinds - {"()", "[]", "<>"}):
            return OTHER_KIND
        items = every(map(self.same, gold.items, answer.items))
        if len(kinds) == 1 or not items.same or kinds == {"()", "<>"}:
            return items
        return OTHER_KIND if len(gold.items) == 2 else unsure("brackets of another kind")

    def _listings(self, gold: Listing, answer: Listing) -> Outcome:
        bound, given = self._bindings(gold.items), self._bindings(answer.items)
        if bound and given:
            if bound.keys() != given.keys():
                return self._renamed(bound, given)
            found = every(self.same(value, given[name]) for name, value in bound.items())
            return self._renamed(bound, given) if _are_numbered(bound) and not found.same else found
        if (bound and _are_numbered(bound)) or (given and _are_numbered(given)):
            # x_1 and x_2 are two solutions for x.
            bound = given = None
        if (bound or given) and len(gold.items) == len(answer.items):
            one = list(bound.values()) if bound else self._values(gold.items)
            two = list(given.values()) if given else self._values(answer.items)
            found = every(map(self.same, one, two))
            return unsure("names are missing") if found.same else found
        found = matched(
            self._values(gold.items), self._values(answer.items), self.same, counted=True
        )
        return found if found.same else self._regions(gold, answer) or found

    def _renamed(self, bound: dict[str, Shape], given: dict[str, Shape]) -> Outcome:
        one, two = list(bound.values()), list(given.values())
        if _are_numbered(bound) and _are_numbered(given):
            found = matched(one, two, self.same, counted=True)
        else:
            found = every(map(self.same, one, two))
        return unsure("names differ") if len(bound) == len(given) and found.same else DIFFERENT

    def _listing_and_other(self, gold: Shape, answer: Shape) -> Outcome:
        listing, other = (gold, answer) if isinstance(gold, Listing) else (answer, gold)
        if not isinstance(listing, Listing):
            return OTHER_KIND
        if isinstance(other, Term):
            return self._listing_or_number(listing, other)
        if not isinstance(other, Group):
            return OTHER_KIND
        items = self._values(listing.items)
        if other.kind == "{}":
            return matched(other.items, items, self.same, counted=False)
        if len(other.items) != len(items):
            return OTHER_KIND
        bound = self._bindings(listing.items)
        if bound and other.kind == "()":
            # (x, y) in the order of the alphabet, as everybody writes a point.
            letters = all(len(name) == 1 for name in bound)
            found = every(
                self.same(i, bound[n]) for i, n in zip(other.items, sorted(bound), strict=True)
            )
            return found if letters or not found.same else unsure("names are missing")
        found = every(map(self.same, other.items, items))
        return unsure("a tuple or a list") if found.same and other.kind != "[]" else OTHER_KIND

    def _listing_or_number(self, listing: Listing, number: Term) -> Outcome:
        if not is_ambiguous_number(number.text):
            return OTHER_KIND
        parts: list[Shape] = [Term(part) for part in number.text.split(",")]
        found = matched(listing.items, parts, self.same, counted=True)
        return unsure("a number or a list") if found.same else OTHER_KIND

    def _singletons(self, gold: Shape, answer: Shape) -> Outcome:
        for one, other in ((gold, answer), (answer, gold)):
            if isinstance(one, Group) and one.kind == "{}" and len(one.items) == 1:
                found = self.same(one.items[0], other)
                return unsure("a set or its only member") if found.same else OTHER_KIND
        if isinstance(gold, Group) and isinstance(answer, Term) and r"\begin" in answer.text:
            return unsure("a matrix or a tuple")
        if isinstance(answer, Group) and isinstance(gold, Term) and r"\begin" in gold.text:
            return unsure("a matrix or a tuple")
        return OTHER_KIND

    def _with_relation(self, gold: Shape, answer: Shape) -> Outcome:
        if isinstance(gold, Relation) and isinstance(answer, Relation):
            return self._relations(gold, answer)
        relation, other = (gold, answer) if isinstance(gold, Relation) else (answer, gold)
        if not isinstance(relation, Relation):
            return OTHER_KIND
        if relation.signs == (r"\in",) and is_name(relation.parts[0]):
            part = relation.parts[1]
            return self.same(part, other) if relation is gold else self.same(other, part)
        if set(relation.signs) <= _INEQUALITIES:
            interval = interval_of(relation)
            if interval is None:
                return self._regions(gold, answer) or OTHER_KIND
            pair = (interval[1], other) if relation is gold else (other, interval[1])
            return self.same(*pair)
        values, doubt = self._stated(relation)
        if doubt:
            return self._regions(gold, answer) or doubt
        found = [self.same(*((v, other) if relation is gold else (other, v))) for v in values]
        return next((f for f in found if f.same), next((f for f in found if f.unsure), found[0]))

    def _relations(self, gold: Relation, answer: Relation) -> Outcome:
        if gold.text == answer.text:
            return SAME
        if set(gold.signs) & _INEQUALITIES or set(answer.signs) & _INEQUALITIES:
            return self._inequalities(gold, answer)
        if gold.signs == answer.signs == (r"\in",):
            return every(map(self.same, gold.parts, answer.parts))
        one, two = self._binding(gold), self._binding(answer)
        if one and two:
            if one[0] == two[0]:
                found = self.same(one[1], two[1])
                if found.label != "wrong":
                    return found
            elif self.same(one[1], two[1]).same:
                functions = "(" in one[0] + two[0] or one[0].lower() == two[0].lower()
                return unsure("names differ") if functions else DIFFERENT
        return self._terms.same_relation(gold, answer)

    def _inequalities(self, gold: Relation, answer: Relation) -> Outcome:
        one, other = interval_of(gold), interval_of(answer)
        if one and other:
            found = self.same(one[1], other[1])
            return unsure("names differ") if found.same and one[0] != other[0] else found
        return self._regions(gold, answer) or self._terms.same_relation(gold, answer)

    def _values(self, items: Sequence[Shape]) -> list[Shape]:
        """The items, with the values of those that state one."""
        return [bound[1] if (bound := self._binding(item)) else item for item in items]

    def _bindings(self, items: Sequence[Shape]) -> dict[str, Shape] | None:
        """Name and value of each item, None unless all of them have names of their own."""
        pairs = [self._binding(item) for item in items]
        found = dict(pair for pair in pairs if pair)
        return found if len(found) == len(items) else None

    def _binding(self, item: Shape) -> tuple[str, Shape] | None:
        """The name and the value that an item such as "x = 5" states."""
        if not isinstance(item, Relation) or not is_name(item.parts[0]):
            return None
        values, doubt = self._stated(item)
        return None if doubt else (text_of(item.parts[0]), values[0])

    def _stated(self, relation: Relation) -> tuple[list[Shape], Outcome | None]:
        """What an equation states the value of its left side to be: exactly, and about.

        A doubt or a difference instead where it states none: x + y = 1 is not the number 1.
        """
        if not set(relation.signs) <= {"=", r"\approx"}:
            return [], OTHER_KIND
        named = is_name(relation.parts[0])
        first = 1 if named else 0
        about = relation.signs.index(r"\approx") + 1 if r"\approx" in relation.signs else None
        if about is not None and about + 1 != len(relation.parts):
            return [], unsure("several approximations")
        exact = list(relation.parts[first:about])
        rounded = [] if about is None else [relation.parts[about]]
        if any(not self.same(one, exact[-1]).same for one in exact[:-1]):
            return [], OTHER_KIND
        if exact and rounded and not self.same(exact[-1], rounded[0]).same:
            texts = [text_of(exact[-1]), text_of(rounded[0])]
            if not self._terms.rounds(*texts):
                return [], unsure("a wrong approximation")
        return exact + rounded if len(exact) < 2 else [exact[-1], *rounded], None


def _are_numbered(names: dict[str, Shape]) -> bool:
    """Whether the names are one letter with different indices."""
    return len(names) > 1 and len({name[0] for name in names}) == 1 and all("_" in n for n in names)


def is_name(shape: Shape) -> bool:
    """Whether a shape names what is equal to the rest: x, f(x), AB, Area, (x, y)."""
    if isinstance(shape, Group):
        return shape.kind == "()" and all(is_name(item) for item in shape.items)
    text = text_of(shape)
    return bool(_NAME.fullmatch(text)) and text not in _NOT_NAMES


def text_of(shape: Shape) -> str:
    """The text of a term or relation; a group's items in its brackets."""
    if isinstance(shape, Term | Relation):
        return shape.text
    items = shape.parts if isinstance(shape, Union) else shape.items
    return f"({','.join(text_of(item) for item in items)})"
