"""Which problems, and how many samples of each, the page shows with their texts."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from offline_rl.report.contents import Samples

# Of a sample in the page besides its text; and of a token of text, on average.
SAMPLE_BYTES = 24
_TOKEN_BYTES = 4.5
LONGEST_TEXT = 16_000
"""Characters of one text that are shown; the middle of a longer one is left out."""
_ENOUGH = 25
"""Problems of a benchmark that are better shown with fewer samples than not at all."""
_TEXTS = (8, 4, 2, 1)

Place = tuple[str, str]
"""Benchmark and problem."""


@dataclass(frozen=True)
class ShownSamples:
    """Problems in the order in which they were drawn, and samples of a policy shown of each."""

    problems: tuple[Place, ...]
    samples: int
    of_problems: int
    of_samples: int


def select(samples: Sequence[Samples], budget: int) -> ShownSamples:
    """Draws so many problems that their samples take about `budget` bytes, at least one.

    Benchmarks take turns, each with its problems in a random order that its name determines: more
    room adds problems and changes none. Where few problems fit with all of their samples, of every
    policy fewer samples are shown.
    """
    sizes = [one.evaluation.grid["problem_id"].value_counts().max() for one in samples]
    most = int(max(sizes, default=0))
    order = list(_drawn(samples))
    enough = min(len(order), _ENOUGH * len({benchmark for benchmark, _ in order}))
    fitting, shown = 0, most
    for shown in (most, *(n for n in _TEXTS if n < most)):
        costs = _costs(samples, shown)
        running = costs.reindex(pd.MultiIndex.from_tuples(order)).cumsum() if order else costs
        fitting = int((running <= budget).sum())
        if fitting >= enough:
            break
    return ShownSamples(tuple(order[: max(1, fitting)]), shown, len(order), most)


def _drawn(samples: Sequence[Samples]) -> Iterator[Place]:
    """All problems, benchmarks taking turns."""
    problems: dict[str, dict[str, None]] = {}
    for one in samples:
        known = problems.setdefault(one.evaluation.benchmark, {})
        known.update(dict.fromkeys(map(str, one.evaluation.grid["problem_id"].unique())))
    queues = []
    for benchmark, ids in problems.items():
        order = sorted(ids)
        random.Random(f"problems of {benchmark}").shuffle(order)
        queues.append([(benchmark, problem) for problem in order])
    for turn in range(max(map(len, queues), default=0)):
        yield from (queue[turn] for queue in queues if turn < len(queue))


def _costs(samples: Sequence[Samples], shown: int) -> pd.Series:
    """Bytes by benchmark and problem, judged by the number of tokens."""
    total: pd.Series | None = None
    for one in samples:
        grid = one.evaluation.grid
        number = grid.groupby("problem_id", sort=False).cumcount()
        # The page keeps equal texts of a problem once; these have equal log-probabilities.
        again = grid.duplicated(["problem_id", "tokens", "answer", "nll"]) & grid["nll"].notna()
        text = (grid["tokens"] * _TOKEN_BYTES).clip(upper=LONGEST_TEXT)
        text = text * ((number < shown) & ~again & (one.folder is not None))
        cost = (
            (text + SAMPLE_BYTES * (number < shown))
            .groupby(grid["problem_id"].astype(str), sort=False)
            .sum()
        )
        cost.index = pd.MultiIndex.from_product([[one.evaluation.benchmark], cost.index])
        total = cost if total is None else total.add(cost, fill_value=0)
    return pd.Series(dtype=float) if total is None else total
