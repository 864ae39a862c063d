"""Sets of real numbers: intervals, inequalities, unions and what is taken out of them."""

import re
from typing import Any

import sympy

from data_gen.verifiers.math_engine import sympy_bridge
from data_gen.verifiers.math_engine.outcome import DIFFERENT, SAME, Outcome, unsure
from data_gen.verifiers.math_engine.parse import Group, Listing, Relation, Shape, Term, Union

_LESS = {"<", r"\le"}
_MORE = {">", r"\ge"}
_ABSOLUTE = re.compile(r"\|([a-z])\|")
_REALS = {r"\mathbb{R}", r"\text{R}", r"\mathbb R"}


def interval_of(relation: Relation) -> tuple[str, Shape] | None:
    """The variable and the set of an inequality in one variable: 2 <= x < 5 is [2, 5)."""
    parts, signs = list(relation.parts), list(relation.signs)
    if len(parts) == 2 and (found := _absolute(parts[0], signs[0], parts[1])):
        return found
    if set(signs) <= _MORE:
        parts.reverse()
        signs = ["<" if sign == ">" else r"\le" for sign in reversed(signs)]
    if len(parts) == 2 and signs[0] == r"\ne" and (name := _variable(parts[0])):
        low = Group("()", (Term(r"-\infty"), parts[1]))
        return name, Union((low, Group("()", (parts[1], Term(r"\infty")))))
    if not set(signs) <= _LESS or len(parts) > 3:
        return None
    if len(parts) == 2:
        if name := _variable(parts[0]):
            parts.insert(0, Term(r"-\infty"))
            signs.insert(0, "<")
        elif _variable(parts[1]):
            parts.append(Term(r"\infty"))
            signs.append("<")
    name = _variable(parts[1])
    if name is None or len(parts) != 3 or _variable(parts[0]) or _variable(parts[2]):
        return None
    kind = ("(" if signs[0] == "<" else "[") + (")" if signs[1] == "<" else "]")
    return name, Group(kind, (parts[0], parts[2]))


def _absolute(left: Shape, sign: str, right: Shape) -> tuple[str, Shape] | None:
    """The set that |x| < 2 or |x| > 2 says."""
    match = _ABSOLUTE.fullmatch(left.text) if isinstance(left, Term) else None
    if match is None or not isinstance(right, Term) or sign not in _LESS | _MORE:
        return None
    low, high = Term(f"-({right.text})"), right
    if sign in _LESS:
        return match[1], Group("()" if sign == "<" else "[]", (low, high))
    ends = ("()", "()") if sign == ">" else ("(]", "[)")
    below = Group(ends[0], (Term(r"-\infty"), low))
    return match[1], Union((below, Group(ends[1], (high, Term(r"\infty")))))


def same_region(gold: Shape, answer: Shape) -> Outcome | None:
    """Compares two sets of real numbers as sets.

    None where one of them is not known to be such a set: (0, 1) alone may be a point.
    """
    one, other = _region(gold), _region(answer)
    if one is None or other is None or not (_is_plainly(gold) or _is_plainly(answer)):
        return None
    if one[0] and other[0] and one[0] != other[0]:
        return unsure("names differ") if one[1] == other[1] else DIFFERENT
    return SAME if _equal(one[1], other[1]) else DIFFERENT


def _is_plainly(shape: Shape) -> bool:
    """Whether a shape can be nothing but a set of real numbers."""
    if isinstance(shape, Group):
        return shape.kind in ("(]", "[)") or any(r"\infty" in str(item) for item in shape.items)
    if isinstance(shape, Listing):
        return any(isinstance(item, Relation) for item in shape.items)
    if isinstance(shape, Term):
        return shape.text.strip() in _REALS
    return True


def _region(shape: Shape) -> tuple[str, Any] | None:
    """The variable ("" without one) and the sympy set of a shape."""
    if isinstance(shape, Relation):
        if shape.signs == (r"\in",) and (name := _variable(shape.parts[0])):
            inner = _region(shape.parts[1])
            return (name, inner[1]) if inner else None
        found = interval_of(shape)
        inner = _region(found[1]) if found else None
        return (found[0], inner[1]) if found and inner else None
    if isinstance(shape, Union):
        return _joined(shape)
    if isinstance(shape, Listing):
        return _listed(shape)
    if isinstance(shape, Group):
        return _grouped(shape)
    text = shape.text.strip()
    if text in _REALS:
        return "", sympy.S.Reals
    return ("", sympy.S.EmptySet) if text == r"\emptyset" else None


def _grouped(group: Group) -> tuple[str, Any] | None:
    values = [_value(item) for item in group.items]
    if any(value is None for value in values):
        return None
    if group.kind == "{}":
        return "", sympy.FiniteSet(*values)
    if len(values) != 2 or group.kind == "<>":
        return None
    return "", sympy.Interval(
        *values, left_open=group.kind[0] == "(", right_open=group.kind[1] == ")"
    )


def _joined(union: Union) -> tuple[str, Any] | None:
    parts = [_region(part) for part in union.parts]
    without = [_region(part) for part in union.without]
    if any(part is None for part in parts + without):
        return None
    whole = sympy.Union(*(part[1] for part in parts if part))
    for part in without:
        whole = whole - part[1] if part else whole
    return "", whole


def _listed(listing: Listing) -> tuple[str, Any] | None:
    parts = [_region(item) for item in listing.items if isinstance(item, Relation)]
    if len(parts) != len(listing.items) or any(part is None for part in parts):
        return None
    names = {part[0] for part in parts if part}
    sets = [part[1] for part in parts if part]
    if len(names) != 1:
        return None
    both, either = sympy.Intersection(*sets), sympy.Union(*sets)
    if listing.joiner == "or":
        return names.pop(), either
    if listing.joiner == "and":
        # "x < 1 and x > 2" is nothing as it stands, and may be meant as either.
        return None if both is sympy.S.EmptySet else (names.pop(), both)
    # A comma says either; where one reading is empty or everything, the other is meant.
    if both is sympy.S.EmptySet:
        return names.pop(), either
    return (names.pop(), both) if either == sympy.S.Reals else None


def _value(shape: Shape) -> Any:
    if not isinstance(shape, Term):
        return None
    value = sympy_bridge.expression(shape.text)
    if value is None or value.free_symbols or not value.is_extended_real:
        return None
    return value


def _variable(shape: Shape) -> str | None:
    text = shape.text.strip() if isinstance(shape, Term) else ""
    letter = len(text) == 1 and text.isalpha() and text not in "ei"
    return text if letter or text in (r"\theta", r"\alpha", r"\lambda", r"\beta") else None


def _equal(one: Any, other: Any) -> bool:
    if one == other:
        return True
    if type(one) is not type(other) or len(one.args) != len(other.args):
        return False
    if isinstance(one, sympy.Interval):
        ends = (one.left_open, one.right_open) == (other.left_open, other.right_open)
        same = (
            sympy_bridge.compare(one.start, other.start).same
            and sympy_bridge.compare(one.end, other.end).same
        )
        return bool(ends and same)
    if isinstance(one, sympy.Union):
        return all(any(_equal(a, b) for b in other.args) for a in one.args)
    if isinstance(one, sympy.FiniteSet):
        return all(any(sympy_bridge.compare(a, b).same for b in other.args) for a in one.args)
    return False
