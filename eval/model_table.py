"""Evaluations arranged: for every base model, its labels' entries over the same problems."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data_gen.types import DataError
from eval.evaluation import Evaluation
from eval.label_table import Entry, entry_of, place, same_problems

MACRO = "macro"
"""The name of the mean over benchmarks, which no benchmark may bear."""


@dataclass(frozen=True)
class Panel:
    """One base model's entries by (label, benchmark), both in the order of the report.

    `benchmarks` are those of all models, so that a macro average means the same for each.
    """

    model: str
    labels: tuple[str, ...]
    benchmarks: tuple[str, ...]
    entries: dict[tuple[str, str], Entry]

    def of(self, label: str) -> list[Entry]:
        """The label's entries, in the order of the benchmarks."""
        keys = [(label, benchmark) for benchmark in self.benchmarks]
        return [self.entries[key] for key in keys if key in self.entries]

    def trained(self, label: str) -> bool:
        return self.of(label)[0].trained

    def rows(self, benchmarks: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
        """Name and benchmarks of each row of a table: each benchmark alone, and all of them as
        MACRO if none of the panel's is lacking, so that macro averages are comparable."""
        yield from ((benchmark, [benchmark]) for benchmark in benchmarks)
        if len(benchmarks) == len(self.benchmarks):
            yield MACRO, benchmarks

    def rows_of(self, label: str) -> Iterator[tuple[str, list[Entry]]]:
        """`rows` of the label's benchmarks, with its entries."""
        for name, benchmarks in self.rows([entry.benchmark for entry in self.of(label)]):
            yield name, [self.entries[label, benchmark] for benchmark in benchmarks]


def arrange(
    evaluations: Sequence[Evaluation],
    *,
    baseline: str,
    models: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    benchmarks: Sequence[str] | None = None,
) -> list[Panel]:
    """One panel a model, in order of `models`, then of appearance.

    Raises DataError naming what is missing, doubled or does not match.
    """
    if not evaluations:
        raise DataError("there are no evaluations to compare")
    if any(evaluation.benchmark == MACRO for evaluation in evaluations):
        raise DataError(f"a benchmark cannot be called {MACRO!r}: rename it")
    every = sorted(
        {evaluation.benchmark for evaluation in evaluations},
        key=lambda name: (_place(name, benchmarks or ()), name),
    )
    seen = list(dict.fromkeys(evaluation.model for evaluation in evaluations))
    wanted = list(models or ())
    return [
        _panel([e for e in evaluations if e.model == model], baseline, labels or (), every)
        for model in sorted(seen, key=lambda name: (_place(name, wanted), seen.index(name)))
    ]


def _panel(
    evaluations: Sequence[Evaluation],
    baseline: str,
    labels: Sequence[str],
    benchmarks: Sequence[str],
) -> Panel:
    groups: dict[tuple[str, str], list[Evaluation]] = {}
    for evaluation in evaluations:
        groups.setdefault((evaluation.label, evaluation.benchmark), []).append(evaluation)
    entries = {key: entry_of(groups[key]) for key in sorted(groups)}
    _check_problems(entries)
    _check_seeds(entries)
    trained = {label: entry.trained for (label, _), entry in entries.items()}
    names = sorted(trained, key=lambda n: (n != baseline, trained[n], _place(n, labels), n))
    return Panel(evaluations[0].model, tuple(names), tuple(benchmarks), entries)


def _check_problems(entries: dict[tuple[str, str], Entry]) -> None:
    first: dict[str, Entry] = {}
    for (label, benchmark), entry in entries.items():
        known = first.setdefault(benchmark, entry)
        name = place(label, benchmark, entry.model)
        same_problems(name, set(entry.problem_ids), set(known.problem_ids), known.label)


def _check_seeds(entries: dict[tuple[str, str], Entry]) -> None:
    first: dict[str, Entry] = {}
    for (label, benchmark), entry in entries.items():
        known = first.setdefault(label, entry)
        seeds, expected = set(entry.training_seeds), set(known.training_seeds)
        for lacking, where in ((expected - seeds, benchmark), (seeds - expected, known.benchmark)):
            if lacking:
                names = ", ".join(
                    sorted("untrained" if s is None else f"seed {s}" for s in lacking)
                )
                raise DataError(
                    f"{label}: no evaluation of {names} on {where}; evaluate it, or leave it out on"
                    " every benchmark"
                )


def _place(name: str, wanted: Sequence[str]) -> float:
    return wanted.index(name) if name in wanted else math.inf
