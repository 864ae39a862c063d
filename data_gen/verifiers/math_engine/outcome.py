"""What a comparison of two answers, or of two parts of them, finds."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypedDict, TypeVar

from data_gen.types import Label

T = TypeVar("T")


class AnswerPair(TypedDict):
    """What a worker is asked to compare."""

    gold: str
    answer: str


class Outcome(NamedTuple):
    """A label and, where it is not "correct", the reason."""

    label: Label
    reason: str = ""

    @property
    def same(self) -> bool:
        return self.label == "correct"

    @property
    def unsure(self) -> bool:
        return self.label == "unverifiable"


SAME = Outcome("correct")
DIFFERENT = Outcome("wrong", "different")
OTHER_KIND = Outcome("wrong", "another kind of answer")


def unsure(reason: str) -> Outcome:
    return Outcome("unverifiable", reason)


def every(findings: Iterable[Outcome]) -> Outcome:
    """The same if all are, different if one is, otherwise the first doubt."""
    doubt = SAME
    for finding in findings:
        if finding.label == "wrong":
            return DIFFERENT
        if finding.unsure and doubt.same:
            doubt = finding
    return doubt


def matched(
    gold: Sequence[T], answer: Sequence[T], same: Callable[[T, T], Outcome], counted: bool
) -> Outcome:
    """Compares in any order; `counted`: an item that is given twice must be given twice.

    A count that alone differs is a doubt: repeated roots may be listed once or twice.
    """
    left = list(range(len(answer)))
    doubt: Outcome | None = None
    extra: list[int] = []
    for item in gold:
        found, seen = _partner(item, answer, left, same)
        if found is not None:
            left.remove(found)
            continue
        twin, doubtful = _partner(
            item, answer, [n for n in range(len(answer)) if n not in left], same
        )
        if twin is not None:
            extra.append(twin)
        elif seen or doubtful:
            doubt = seen or doubtful
        else:
            return DIFFERENT
    for number in left:
        if doubt:
            break
        if not any(same(item, answer[number]).same for item in gold):
            return DIFFERENT
    if doubt:
        return doubt
    if counted and (extra or left):
        return unsure("repeated items")
    return SAME


def _partner(
    item: T, answer: Sequence[T], among: Sequence[int], same: Callable[[T, T], Outcome]
) -> tuple[int | None, Outcome | None]:
    doubt: Outcome | None = None
    for number in among:
        finding = same(item, answer[number])
        if finding.same:
            return number, None
        if finding.unsure:
            doubt = finding
    return None, doubt
