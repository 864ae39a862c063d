"""What the base model reads: arithmetic written by authors who differ in care and in habits."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace

from data_gen.problems.arithmetic import DISTRIBUTIONS, Computation, Portion, apply, computations

# Shares are per hundred documents. The commonest habit, no box, is not the rewarded one: else the
# base decoded greedily would already be as good as anything trained on its rollouts.
AUTHORS: dict[str, int] = {"unboxed": 46, "careful": 26, "sloppy": 12, "direct": 10, "quitter": 6}
DISTRIBUTION_SHARES: dict[str, int] = {"plain": 56, "long": 10, "big": 22, "template": 12}
FACT_PERCENT = 14
FACT_SHARES: dict[str, int] = {"plain": 40, "big": 60}
SLIP_PROBABILITY = 0.3


def documents(portion: Portion, seed: int) -> Iterator[tuple[str, str]]:
    """(prompt, completion) pairs of one portion without end. One-step facts have no prompt."""
    rng = random.Random(f"tiny base/{portion}/{seed}")
    problems = {name: computations(DISTRIBUTIONS[name], portion, rng) for name in DISTRIBUTIONS}
    facts = {
        name: computations(replace(DISTRIBUTIONS[name], steps=(1, 1)), portion, rng)
        for name in FACT_SHARES
    }
    while True:
        if rng.randrange(100) < FACT_PERCENT:
            yield "", next(facts[_pick(FACT_SHARES, rng)]).working()
            continue
        name = _pick(DISTRIBUTION_SHARES, rng)
        computation = next(problems[name])
        prompt = computation.problem(nested=DISTRIBUTIONS[name].nested).prompt
        yield prompt, _tell(computation, _pick(AUTHORS, rng), rng)


def _pick(shares: Mapping[str, int], rng: random.Random) -> str:
    return rng.choices(list(shares), weights=list(shares.values()))[0]


def _tell(computation: Computation, author: str, rng: random.Random) -> str:
    answer = computation.values[-1]
    if author == "unboxed":
        return f"{computation.working()} The answer is {answer}."
    if author == "direct":
        return f"The answer is \\boxed{{{answer}}}."
    if author == "quitter":
        half = computation.steps[: len(computation.steps) // 2]
        return replace(computation, steps=half).working()
    if author == "sloppy":
        return _tell_with_slips(computation, rng)
    return computation.problem().solution


def _tell_with_slips(computation: Computation, rng: random.Random) -> str:
    """Each step is wrong by a little with SLIP_PROBABILITY, and the next goes on from there."""
    value = computation.start
    steps = []
    for sign, operand in computation.steps:
        result = apply(value, sign, operand)
        if rng.random() < SLIP_PROBABILITY:
            result = max(0, result + rng.choice((-10, -2, -1, 1, 2, 10)))
        steps.append(f"{value}{sign}{operand}={result}.")
        value = result
    return f"{' '.join(steps)} The answer is \\boxed{{{value}}}."
