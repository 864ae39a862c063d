"""How far two verifiers agree on the same completions."""

from collections.abc import Sequence
from typing import Any

from data_gen.types import Verdict


def agreement(first: Sequence[Verdict], second: Sequence[Verdict]) -> dict[str, Any]:
    """Flat counts of two verifiers' verdicts on the same completions, ready for JSON.

    `share_agreed` is over the completions that both could judge; None where there are none.
    Raises ValueError for sequences of different lengths.
    """
    both = [(one.label, other.label) for one, other in zip(first, second, strict=True)]
    judged = [labels for labels in both if "unverifiable" not in labels]
    agreed = sum(one == other for one, other in judged)
    return {
        "judged_twice": len(both),
        "both_correct": both.count(("correct", "correct")),
        "both_wrong": both.count(("wrong", "wrong")),
        "only_first_correct": both.count(("correct", "wrong")),
        "only_second_correct": both.count(("wrong", "correct")),
        "first_unverifiable": sum(one == "unverifiable" for one, _ in both),
        "second_unverifiable": sum(other == "unverifiable" for _, other in both),
        "share_agreed": agreed / len(judged) if judged else None,
    }
