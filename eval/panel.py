"""Evaluations checked and arranged: every label's tables over the same problems."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data_gen.types import DataError
from eval.evaluation import Evaluation
from eval.statistics import Table

MACRO = "macro"
"""The name of the mean over benchmarks, which no benchmark may bear."""


@dataclass(frozen=True)
class Entry:
    """One label on one benchmark, its training seeds in order.

    `grids` are sorted by (problem, sample), so that figures do not depend on the order of rows.
    `correct_counts` is (training seeds, problems), problems sorted by id.
    """

    label: str
    benchmark: str
    temperature: float
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


@dataclass(frozen=True)
class Panel:
    """Entries by (label, benchmark), with labels and benchmarks in the order of the report."""

    labels: tuple[str, ...]
    benchmarks: tuple[str, ...]
    entries: dict[tuple[str, str], Entry]

    def of(self, label: str) -> list[Entry]:
        """The label's entries, in the order of the benchmarks."""
        keys = [(label, benchmark) for benchmark in self.benchmarks]
        return [self.entries[key] for key in keys if key in self.entries]

    def trained(self, label: str) -> bool:
        return self.of(label)[0].trained

    def is_whole(self, label: str) -> bool:
        """Whether the label has every benchmark, so that its macro average is comparable."""
        return len(self.of(label)) == len(self.benchmarks)


def arrange(
    evaluations: Sequence[Evaluation],
    *,
    baseline: str,
    labels: Sequence[str] | None,
    benchmarks: Sequence[str] | None,
) -> Panel:
    """Checks and sorts. Raises DataError naming what is missing, doubled or does not match."""
    if not evaluations:
        raise DataError("there are no evaluations to compare")
    groups: dict[tuple[str, str], list[Evaluation]] = {}
    for evaluation in evaluations:
        if evaluation.benchmark == MACRO:
            raise DataError(f"a benchmark cannot be called {MACRO!r}: rename it")
        groups.setdefault((evaluation.label, evaluation.benchmark), []).append(evaluation)
    entries = {key: _entry(group) for key, group in groups.items()}
    _check_problems(entries)
    _check_seeds(entries)
    trained = {label: entry.trained for (label, _), entry in entries.items()}
    wanted = list(labels or [])
    names = sorted(trained, key=lambda n: (n != baseline, trained[n], _place(n, wanted), n))
    order = _ordered({benchmark for _, benchmark in entries}, list(benchmarks or []))
    return Panel(tuple(names), tuple(order), entries)


def _entry(group: Sequence[Evaluation]) -> Entry:
    label, benchmark = group[0].label, group[0].benchmark
    seeds = [evaluation.training_seed for evaluation in group]
    if len(set(seeds)) < len(seeds):
        raise DataError(f"{label} on {benchmark}: the same training seed is given twice")
    if None in seeds and len(seeds) > 1:
        raise DataError(f"{label} on {benchmark}: is given both trained and untrained")
    temperatures = {evaluation.temperature for evaluation in group}
    if len(temperatures) > 1:
        found = ", ".join(str(t) for t in sorted(temperatures))
        raise DataError(f"{label} on {benchmark}: sampled at several temperatures ({found})")
    members = sorted(group, key=lambda e: -1 if e.training_seed is None else e.training_seed)
    sizes = {_named(e): _samples(e) for e in members}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        raise DataError(f"samples per problem differ between training seeds ({found})")
    grids = [e.grid.sort_values(["problem_id", "sample"], ignore_index=True) for e in members]
    problems = tuple(dict.fromkeys(grids[0]["problem_id"]))
    for member, grid in zip(members, grids, strict=True):
        _same_problems(_named(member), set(grid["problem_id"]), set(problems))
    samples = sizes[_named(members[0])]
    counts = [
        (grid["verdict"] == "correct").to_numpy().reshape(len(problems), samples).sum(axis=1)
        for grid in grids
    ]
    return Entry(
        label=label,
        benchmark=benchmark,
        temperature=temperatures.pop(),
        training_seeds=tuple(member.training_seed for member in members),
        problem_ids=problems,
        samples=samples,
        grids=tuple(grids),
        correct_counts=np.array(counts),
    )


def _named(evaluation: Evaluation) -> str:
    seed = evaluation.training_seed
    trained = "" if seed is None else f", seed {seed}"
    return f"{evaluation.label}{trained} on {evaluation.benchmark}"


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


def _check_problems(entries: dict[tuple[str, str], Entry]) -> None:
    first: dict[str, Entry] = {}
    for (label, benchmark), entry in sorted(entries.items()):
        known = first.setdefault(benchmark, entry)
        name = f"{label} on {benchmark}"
        _same_problems(name, set(entry.problem_ids), set(known.problem_ids), known.label)


def _same_problems(name: str, found: set[str], expected: set[str], other: str = "others") -> None:
    if missing := expected - found:
        raise DataError(f"{name}: lacks {_some(missing)}, which {other} have; evaluate it again")
    if extra := found - expected:
        raise DataError(f"{name}: has {_some(extra)}, which {other} lack; evaluate both again")


def _check_seeds(entries: dict[tuple[str, str], Entry]) -> None:
    first: dict[str, Entry] = {}
    for (label, benchmark), entry in sorted(entries.items()):
        known = first.setdefault(label, entry)
        seeds, expected = set(entry.training_seeds), set(known.training_seeds)
        for lacking, place in ((expected - seeds, benchmark), (seeds - expected, known.benchmark)):
            if lacking:
                names = ", ".join(
                    sorted("untrained" if s is None else f"seed {s}" for s in lacking)
                )
                raise DataError(
                    f"{label}: no evaluation of {names} on {place}; evaluate it, or leave it out on"
                    " every benchmark"
                )


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    shown = ", ".join(ordered[:5])
    more = len(ordered) - 5
    return f"problem {shown}{f' and {more} more' if more > 0 else ''}"


def _ordered(names: Iterable[str], wanted: list[str]) -> list[str]:
    return sorted(names, key=lambda name: (_place(name, wanted), name))


def _place(name: str, wanted: list[str]) -> float:
    return wanted.index(name) if name in wanted else math.inf
