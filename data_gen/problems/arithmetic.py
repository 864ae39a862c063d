"""The built-in task: arithmetic on a running value, as many problems as wanted, checkable gold."""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from data_gen.types import DataError, Problem

Portion = Literal["train", "validation", "test"]
Sign = Literal["+", "-", "*"]
Step = tuple[Sign, int]

SIGNS: tuple[Sign, ...] = ("+", "-", "*")
FACTORS = (2, 5)
_WORDS: dict[Sign, str] = {"+": "Add", "-": "Subtract", "*": "Multiply by"}


@dataclass(frozen=True, slots=True)
class Distribution:
    """Which computations there are. Pairs are (least, greatest), both included.

    Every value on the way lies in 0 .. `highest`, and at least one is `reaches` or more.
    `operands` are those of additions and subtractions; factors are always in `FACTORS`. `nested`
    problems are posed as a bracketed term and not in words.
    """

    steps: tuple[int, int]
    highest: int
    operands: tuple[int, int]
    reaches: int = 0
    nested: bool = False


DISTRIBUTIONS: dict[str, Distribution] = {
    "plain": Distribution(steps=(2, 4), highest=99, operands=(1, 9)),
    "long": Distribution(steps=(5, 6), highest=99, operands=(1, 9)),
    "big": Distribution(steps=(2, 4), highest=199, operands=(10, 49), reaches=100),
    "template": Distribution(steps=(2, 4), highest=99, operands=(1, 9), nested=True),
}

# Split -> the distribution and the portion of all computations that it draws from.
SPLITS: dict[str, tuple[str, Portion]] = {
    "train": ("plain", "train"),
    "validation": ("plain", "validation"),
    "test": ("plain", "test"),
    "long": ("long", "test"),
    "big": ("big", "test"),
    "template": ("template", "test"),
    "long-validation": ("long", "validation"),
    "big-validation": ("big", "validation"),
    "template-validation": ("template", "validation"),
}

_PERCENT: dict[Portion, int] = {"train": 90, "validation": 5, "test": 5}


@dataclass(frozen=True, slots=True)
class Computation:
    """A start value and the steps taken from it, one after another and without precedence."""

    start: int
    steps: tuple[Step, ...]

    @property
    def key(self) -> str:
        """The computation whatever its wording, `6+5*3` for (6 + 5) * 3."""
        return str(self.start) + "".join(f"{sign}{operand}" for sign, operand in self.steps)

    @property
    def values(self) -> list[int]:
        """The start value and the value after each step."""
        values = [self.start]
        for sign, operand in self.steps:
            values.append(apply(values[-1], sign, operand))
        return values

    @property
    def portion(self) -> Portion:
        """The one portion that the computation belongs to, in every wording and for every seed."""
        digest = hashlib.sha256(self.key.encode()).digest()
        place = int.from_bytes(digest[:8]) % 100
        if place < _PERCENT["train"]:
            return "train"
        return "validation" if place < _PERCENT["train"] + _PERCENT["validation"] else "test"

    def problem(self, *, nested: bool = False) -> Problem:
        """The computation posed in words, or as a bracketed term, with its worked solution."""
        term = str(self.start)
        for number, (sign, operand) in enumerate(self.steps):
            term = f"{f'({term})' if number else term}{sign}{operand}"
        spelled = "".join(f" {_WORDS[sign]} {operand}." for sign, operand in self.steps)
        return Problem(
            id=f"arithmetic/{term if nested else self.key}",
            prompt=f"Compute {term}.\n" if nested else f"Start with {self.start}.{spelled}\n",
            answer=str(self.values[-1]),
            solution=f"{self.working()} The answer is \\boxed{{{self.values[-1]}}}.",
        )

    def working(self) -> str:
        """The worked steps: `6+5=11. 11*3=33.`"""
        before, after = self.values[:-1], self.values[1:]
        return " ".join(
            f"{value}{sign}{operand}={result}."
            for value, (sign, operand), result in zip(before, self.steps, after, strict=True)
        )


def arithmetic_problems(split: str, count: int, seed: int = 0) -> list[Problem]:
    """The first `count` different problems of a split of SPLITS, in the order that `seed` gives.

    Train, validation and test portions have no computation in common, whatever the seeds. An id
    is made of the problem alone: the same problem has it in every call.
    Raises DataError for an unknown split, or a count that is not positive or too large.
    """
    if split not in SPLITS:
        raise DataError(f"arithmetic has no split {split!r}: choose one of {', '.join(SPLITS)}")
    name, portion = SPLITS[split]
    distribution = DISTRIBUTIONS[name]
    most = _most(distribution, portion)
    if not 1 <= count <= most:
        raise DataError(f"arithmetic split {split!r}: count {count} is not in 1 .. {most}")
    chosen: dict[str, Problem] = {}
    for computation in computations(distribution, portion, random.Random(f"{split}/{seed}")):
        chosen.setdefault(computation.key, computation.problem(nested=distribution.nested))
        if len(chosen) == count:
            break
    return list(chosen.values())


def computations(
    distribution: Distribution, portion: Portion, rng: random.Random
) -> Iterator[Computation]:
    """Draws computations of one portion without end; some come more than once."""
    while True:
        start = value = highest = rng.randint(0, distribution.highest)
        missing = rng.randint(*distribution.steps)
        steps: list[Step] = []
        while missing:
            sign = rng.choice(SIGNS)
            operand = rng.choice(_operands(distribution, sign))
            after = apply(value, sign, operand)
            if 0 <= after <= distribution.highest:
                steps.append((sign, operand))
                missing -= 1
                value, highest = after, max(highest, after)
        computation = Computation(start, tuple(steps))
        if highest >= distribution.reaches and computation.portion == portion:
            yield computation


def apply(value: int, sign: Sign, operand: int) -> int:
    """The value after one step."""
    if sign == "*":
        return value * operand
    return value + operand if sign == "+" else value - operand


def _operands(distribution: Distribution, sign: Sign) -> range:
    least, greatest = FACTORS if sign == "*" else distribution.operands
    return range(least, greatest + 1)


@cache
def _most(distribution: Distribution, portion: Portion) -> int:
    """Half of the portion's expected size: so many different ones are drawn without long waits."""
    total = _paths(distribution, distribution.highest)
    total -= _paths(distribution, distribution.reaches - 1)
    return total * _PERCENT[portion] // 200


def _paths(distribution: Distribution, highest: int) -> int:
    """How many computations of these steps and operands keep to 0 .. `highest`."""
    moves = [(sign, operand) for sign in SIGNS for operand in _operands(distribution, sign)]
    ways = dict.fromkeys(range(highest + 1), 1)
    total = 0
    for length in range(1, distribution.steps[1] + 1):
        longer = dict.fromkeys(ways, 0)
        for value, count in ways.items():
            for sign, operand in moves:
                after = apply(value, sign, operand)
                if 0 <= after <= highest:
                    longer[after] += count
        ways = longer
        if length >= distribution.steps[0]:
            total += sum(ways.values())
    return total
