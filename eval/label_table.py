"""One label on one benchmark: its samples checked and sorted, one grid a training seed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data_gen.types import DataError
from eval.evaluation import Evaluation
from eval.statistics import Table


@dataclass(frozen=True)
class Entry:
    """One label on one benchmark, its training seeds in order.

    `grids` are sorted by (problem, sample), so that figures do not depend on the order of rows.
    `correct_counts` is (training seeds, problems), problems sorted by id.
    """

    model: str
    label: str
    benchmark: str
    temperature: float
    top_p: float
    training_seeds: tuple[int | None, ...]
    problem_ids: tuple[str, ...]
    samples: int
    grids: tuple[pd.DataFrame, ...]
    correct_counts: np.ndarray

    @property
    def trained(self) -> bool:
        return self.training_seeds != (None,)

    @property
    def table(self) -> Table:
        means: Table = self.correct_counts / self.samples
        return means

    @property
    def number_of_training_seeds(self) -> int:
        """0 for an untrained policy."""
        return len(self.training_seeds) if self.trained else 0


def entry_of(group: Sequence[Evaluation]) -> Entry:
    """The entry of all evaluations of one label on one benchmark.

    Raises DataError naming what is missing, doubled or does not match.
    """
    _check_group(group)
    members = sorted(group, key=lambda e: -1 if e.training_seed is None else e.training_seed)
    sizes = {_named(e): _samples(e) for e in members}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        raise DataError(f"samples per problem differ between training seeds ({found})")
    grids = [e.grid.sort_values(["problem_id", "sample"], ignore_index=True) for e in members]
    problems = tuple(grids[0]["problem_id"].unique())
    for member, grid in zip(members, grids, strict=True):
        same_problems(_named(member), set(grid["problem_id"].unique()), set(problems))
    samples = sizes[_named(members[0])]
    counts = [
        (grid["verdict"] == "correct").to_numpy().reshape(len(problems), samples).sum(axis=1)
        for grid in grids
    ]
    return Entry(
        model=members[0].model,
        label=members[0].label,
        benchmark=members[0].benchmark,
        temperature=members[0].temperature,
        top_p=members[0].top_p,
        training_seeds=tuple(member.training_seed for member in members),
        problem_ids=problems,
        samples=samples,
        grids=tuple(grids),
        correct_counts=np.array(counts),
    )


def same_problems(name: str, found: set[str], expected: set[str], other: str = "others") -> None:
    """Raises DataError with the problems that one of the two lacks."""
    if missing := expected - found:
        raise DataError(f"{name}: lacks {_some(missing)}, which {other} have; evaluate it again")
    if extra := found - expected:
        raise DataError(f"{name}: has {_some(extra)}, which {other} lack; evaluate both again")


def place(label: str, benchmark: str, model: str) -> str:
    """What a message calls a label on a benchmark."""
    return f"{label} on {benchmark}" + (f" ({model})" if model else "")


def _check_group(group: Sequence[Evaluation]) -> None:
    where = place(group[0].label, group[0].benchmark, group[0].model)
    seeds = [evaluation.training_seed for evaluation in group]
    if len(set(seeds)) < len(seeds):
        raise DataError(f"{where}: the same training seed is given twice")
    if None in seeds and len(seeds) > 1:
        raise DataError(f"{where}: is given both trained and untrained")
    for what, values in (
        ("temperatures", {evaluation.temperature for evaluation in group}),
        ("top_p", {evaluation.top_p for evaluation in group}),
    ):
        if len(values) > 1:
            found = ", ".join(map(str, sorted(values)))
            raise DataError(f"{where}: sampled at several {what} ({found})")


def _named(evaluation: Evaluation) -> str:
    seed = evaluation.training_seed
    trained = "" if seed is None else f", seed {seed}"
    return place(f"{evaluation.label}{trained}", evaluation.benchmark, evaluation.model)


def _samples(evaluation: Evaluation) -> int:
    grid = evaluation.grid
    if grid.empty:
        raise DataError(f"{_named(evaluation)}: there are no samples; evaluate it again")
    if grid.duplicated(["problem_id", "sample"]).any():
        raise DataError(f"{_named(evaluation)}: a sample of a problem is there twice")
    counts = grid["problem_id"].value_counts()
    most = int(counts.max())
    short = sorted(str(name) for name in counts.index[counts < most])
    if short:
        raise DataError(
            f"{_named(evaluation)}: fewer than {most} samples of {_some(short)}; evaluate it again"
        )
    return most


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    shown = ", ".join(ordered[:20])
    more = len(ordered) - 20
    number = "problem" if len(ordered) == 1 else f"{len(ordered)} problems:"
    return f"{number} {shown}{f' and {more} more' if more > 0 else ''}"
