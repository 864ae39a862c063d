"""The verifier's own suite: hard cases by kind of trouble, in tests/fixtures/verifier_cases.txt."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from data_gen.verifiers import math, verify

pytestmark = pytest.mark.xdist_group("verifiers")

TABLE = Path(__file__).parent / "fixtures" / "verifier_cases.txt"


class Case(NamedTuple):
    kind: str
    expected: str
    gold: str
    completion: str
    answer: str


def cases(path: Path = TABLE) -> Iterator[Case]:
    kind = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            kind = line[3:]
        elif line and not line.startswith("#"):
            expected, gold, completion = line.split("\t")
            if completion.startswith("= "):
                completion = rf"\boxed{{{completion[2:]}}}"
            answer = "any" if kind.endswith("(any)") else "boxed"
            yield Case(kind, expected, gold, completion.replace("⏎", "\n"), answer)


def labels_of(group: list[Case]) -> list[str]:
    """All cases of a group in one call, so that the workers share them."""
    found: dict[int, str] = {}
    for answer in ("boxed", "any"):
        numbers = [n for n, case in enumerate(group) if case.answer == answer]
        pairs = [(group[n].gold, group[n].completion) for n in numbers]
        verdicts = verify(pairs, answer=answer)
        found |= {n: v.label for n, v in zip(numbers, verdicts, strict=True)}
    return [found[n] for n in range(len(group))]


def fits(expected: str, label: str) -> bool:
    return label != "correct" if expected == "not" else label == expected


@pytest.mark.parametrize("plain", [True, False], ids=["plain-texts-at-once", "all-by-workers"])
def test_every_case_gets_its_verdict(plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not plain:
        monkeypatch.setattr(math, "compare_plain", lambda gold, answer: None)
    group = list(cases())
    assert len(group) >= 300
    labels = labels_of(group)
    assert [
        (case, label)
        for case, label in zip(group, labels, strict=True)
        if not fits(case.expected, label)
    ] == []
