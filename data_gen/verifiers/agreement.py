"""How far two verifiers agree on the same completions."""

from collections import Counter

from data_gen.cards.counts import CardPart, Count, Figure, ratio
from data_gen.types import Label


class Agreement(CardPart):
    """Counts of two verifiers' verdicts on the same completions.

    `share_agreed` is over the completions that both could judge; None where there are none.
    """

    judged_twice: Count
    both_correct: Count
    both_wrong: Count
    only_first_correct: Count
    only_second_correct: Count
    first_unverifiable: Count
    second_unverifiable: Count
    share_agreed: Figure


def agreement(labels: Counter[tuple[Label, Label]]) -> Agreement:
    """The agreement of (first, second) verdicts, from how often each two labels met."""
    agreed = labels["correct", "correct"] + labels["wrong", "wrong"]
    differed = labels["correct", "wrong"] + labels["wrong", "correct"]
    return Agreement(
        judged_twice=labels.total(),
        both_correct=labels["correct", "correct"],
        both_wrong=labels["wrong", "wrong"],
        only_first_correct=labels["correct", "wrong"],
        only_second_correct=labels["wrong", "correct"],
        first_unverifiable=sum(n for (first, _), n in labels.items() if first == "unverifiable"),
        second_unverifiable=sum(n for (_, second), n in labels.items() if second == "unverifiable"),
        share_agreed=ratio(agreed, agreed + differed),
    )
