"""What can be settled about two answers without a parser, and only where it cannot err."""

from data_gen.verifiers.answer_text.numbers import decide, rational
from data_gen.verifiers.math_engine.outcome import SAME, Outcome


def settled(gold: str, answer: str) -> Outcome | None:
    """The finding for two normal texts: the same text, or two rational numbers; else None."""
    if gold == answer:
        return SAME
    one = rational(gold)
    other = rational(answer) if one else None
    return decide(one, other) if one and other else None
