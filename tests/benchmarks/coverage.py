"""How often the headline interval covers: `python tests/benchmarks/coverage.py [COUNT] [SEED]`.

Simulates comparisons of three methods and their base that are truly equal over fresh problems and
training seeds, 16 samples a problem, and runs the product's own interval and Holm adjustment on
them. Prints, for every setting, how often the 95% interval of two methods and of a method against
the base covers zero, and how often any adjusted p-value of the five primary pairs is below 5%.
"""

import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.statistics import headline_difference, holm

SAMPLES = 16
METHODS = ("rft", "dft", "dpo")
PAIRS = [("rft", "base"), ("dft", "base"), ("dpo", "base"), ("dft", "rft"), ("dpo", "rft")]
# Accuracies over problems as a base model has them on MATH-500: many near 0 and near 1.
EASE = (0.6, 0.8)
# Concentrations of a method's accuracies about the problem's, and of a checkpoint's about those.
METHOD, CHECKPOINT = 20.0, 100.0


@dataclass(frozen=True)
class Setting:
    """`seed_points` is the standard deviation between training seeds of a method's accuracy.

    `problems` are those of each benchmark; the macro average over them is compared.
    """

    seed_points: float
    seeds: int
    problems: tuple[int, ...]


def settings(
    seed_points: Sequence[float], seeds: Sequence[int], problems: Sequence[tuple[int, ...]]
) -> list[Setting]:
    return [Setting(*one) for one in itertools.product(seed_points, seeds, problems)]


SETTINGS = settings((0, 1, 4), (3, 5), ((30,), (150,), (500,)))
MACRO = settings((0, 1, 4), (3, 5), ((30, 150, 500),))
# Fewer seeds and problems than a comparison should have.
FEWER = [
    *settings((0, 1, 4), (2,), ((30,), (150,), (500,))),
    *settings((0, 4), (3,), ((5,), (10,))),
]


def simulated(setting: Setting, generator: np.random.Generator) -> dict[str, list[np.ndarray]]:
    """Tables (seeds, problems) of methods and base by benchmark, all truly equal.

    A method's accuracy on a problem scatters about the problem's own, a checkpoint's about the
    method's, and a training seed moves all problems of its checkpoint one way, those of middling
    difficulty most. None of that changes an expectation.
    """
    eases = [generator.beta(*EASE, problems) for problems in setting.problems]
    tables = {"base": [_counted(generator, ease[None]) for ease in eases]}
    for method in METHODS:
        shift = generator.normal(0, setting.seed_points / 100 / _spread(), (setting.seeds, 1))
        # At a shift of a quarter the largest chance would pass 1.
        shift = shift.clip(-0.25, 0.25)
        tables[method] = [_trained(generator, ease, shift) for ease in eases]
    return tables


def _trained(generator: np.random.Generator, ease: np.ndarray, shift: np.ndarray) -> np.ndarray:
    own = _scattered(generator, ease, METHOD)
    chances = _scattered(generator, np.tile(own, (len(shift), 1)), CHECKPOINT)
    return _counted(generator, chances + shift * 4 * chances * (1 - chances))


def _scattered(generator: np.random.Generator, chances: np.ndarray, how: float) -> np.ndarray:
    inner = chances.clip(1e-6, 1 - 1e-6)
    return generator.beta(inner * how, (1 - inner) * how)


def _spread() -> float:
    """Mean over problems of 4 p (1 - p), what a shift of one moves a checkpoint's accuracy by."""
    a, b = EASE
    expected = a * b / ((a + b) * (a + b + 1))
    return 4 * expected * METHOD / (METHOD + 1) * CHECKPOINT / (CHECKPOINT + 1)


def _counted(generator: np.random.Generator, chances: np.ndarray) -> np.ndarray:
    return generator.binomial(SAMPLES, chances.clip(0, 1)) / SAMPLES


@dataclass(frozen=True)
class Seen:
    """Shares of the simulated comparisons."""

    between_methods: float
    against_base: float
    any_rejected: float


def seen(setting: Setting, count: int, generator: np.random.Generator) -> Seen:
    """What `count` simulated comparisons showed."""
    covered = {"rft": 0, "base": 0}
    rejected = 0
    for _ in range(count):
        tables = simulated(setting, generator)
        found = {pair: headline_difference(*(tables[name] for name in pair)) for pair in PAIRS}
        for against in covered:
            estimate = found["dft", against]
            covered[against] += estimate.low <= 0 <= estimate.high
        rejected += bool((holm([one.p_value for one in found.values()]) < 0.05).any())
    return Seen(covered["rft"] / count, covered["base"] / count, rejected / count)


def main(count: int = 2000, seed: int = 0) -> int:
    """Prints the tables; the exit code is the number of settings out of bounds in the first two.

    The bounds are 93 to 97.5% for coverage and 6% for the family-wise error.
    """
    print(f"{count} simulated comparisons a setting, 16 samples a problem, 95% intervals")
    began = time.monotonic()
    out = _print_table(SETTINGS, count, seed)
    print(f"{out} of {len(SETTINGS)} settings out of bounds, {time.monotonic() - began:.0f} s\n")
    print("the macro average of three benchmarks:")
    out += _print_table(MACRO, count, seed)
    print("\nwith fewer seeds or problems than a comparison should have:")
    _print_table(FEWER, count, seed)
    return out


def _print_table(table: list[Setting], count: int, seed: int) -> int:
    """The number of its settings out of bounds."""
    print("seed sd  seeds     problems   methods   vs base   family-wise error")
    out = 0
    for number, setting in enumerate(table):
        shown = seen(setting, count, np.random.default_rng([seed, number]))
        coverages = (shown.between_methods, shown.against_base)
        bad = any(not 0.93 <= c <= 0.975 for c in coverages) or shown.any_rejected > 0.06
        out += bad
        problems = "+".join(map(str, setting.problems))
        print(
            f"{setting.seed_points:4.0f} pt {setting.seeds:6d} {problems:>12}"
            f" {100 * coverages[0]:8.1f}% {100 * coverages[1]:8.1f}%"
            f" {100 * shown.any_rejected:9.1f}%",
            "  out of bounds" if bad else "",
            flush=True,
        )
    return out


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
