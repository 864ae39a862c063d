"""How good the base model is, measured as everything here is: sampled, verified, with intervals."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev

from data_gen.collection import collect
from data_gen.problems.arithmetic import arithmetic_problems
from data_gen.types import DataError, Rollout, Sampler, Sampling
from data_gen.verifiers import verify

FIGURES_FILE = "figures.json"
MAX_TOKENS = 128

# (split, temperature, samples)
_CONDITIONS = (
    ("test", 1.0, 8),
    ("test", 0.5, 8),
    ("test", 0.0, 1),
    ("long", 1.0, 8),
    ("big", 1.0, 8),
    ("template", 1.0, 8),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """The accuracy in one condition; temperature 0 is greedy decoding.

    `accuracy` is the mean over problems of the share of correct samples, `standard_error` the one
    of a mean over independent problems, `mixed_share` the share of problems with a correct and a
    wrong sample.
    """

    split: str
    temperature: float
    problems: int
    samples: int
    accuracy: float
    standard_error: float
    mixed_share: float


def measure_tiny_base(
    sample: Sampler,
    *,
    problems: int = 1000,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Figure]:
    """Accuracy in each condition, on `problems` problems of its split.

    `sample` holds the model, with prompts as they are: style "raw". `on_progress` gets the
    conditions done and their total. Raises DataError for fewer than two problems.
    """
    if problems < 2:
        raise DataError(f"problems = {problems}: an interval over problems needs two or more")
    figures = []
    for split, temperature, samples in _CONDITIONS:
        sampling = Sampling(
            samples=samples, temperature=temperature, max_tokens=MAX_TOKENS, seed=seed
        )
        rollouts = collect(arithmetic_problems(split, problems, seed), sample, verify, sampling)
        figures.append(_figure(split, sampling, rollouts))
        if on_progress is not None:
            on_progress(len(figures), len(_CONDITIONS))
    return figures


def _figure(split: str, sampling: Sampling, rollouts: list[Rollout]) -> Figure:
    """The figure of rollouts that stand in the order of their problems."""
    shares = [
        fmean(rollout.reward for rollout in group)
        for _, group in groupby(rollouts, key=lambda rollout: rollout.problem.id)
    ]
    return Figure(
        split=split,
        temperature=sampling.temperature,
        problems=len(shares),
        samples=sampling.samples,
        accuracy=fmean(shares),
        standard_error=stdev(shares) / len(shares) ** 0.5,
        mixed_share=fmean(0 < share < 1 for share in shares),
    )


def save_figures(figures: Sequence[Figure], folder: Path) -> None:
    rows = [asdict(one) for one in figures]
    (folder / FIGURES_FILE).write_text(json.dumps(rows, indent=1) + "\n")
