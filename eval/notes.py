"""What a reader of a comparison must know, in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from eval.model_table import Panel

# What tests/benchmarks/coverage.py shows: from 30 problems and three seeds on, intervals cover 94
# to 98% and families err in at most 6 of 100 comparisons; with fewer they do not.
_FEWEST_PROBLEMS = 30
_ENOUGH_PROBLEMS = 100


NoteKind = Literal["statistics", "fairness", "data", "method", "sampling", "missing"]
"""What a note is about: how much the figures can show; what policies were given unequally; problems
and rollouts; a method's own assumptions; how samples were drawn; what the report lacks."""


@dataclass(frozen=True)
class Note:
    """A sentence that a reader of a report must know."""

    kind: NoteKind
    text: str

    def of(self, name: str) -> "Note":
        """With the name of the model or run that it is about before it."""
        return Note(self.kind, f"{name}: {self.text}")

    def __str__(self) -> str:
        return self.text


def notes_on(
    panels: Sequence[Panel], pairwise: pd.DataFrame, baseline: str, reference: str
) -> Iterator[Note]:
    """Sentences, the most important first; `pairwise` is the table of all pairs."""
    for panel in panels:
        pairs = pairwise[pairwise["model"] == panel.model]
        for note in _notes(panel, pairs, baseline, reference):
            yield note.of(panel.model) if len(panels) > 1 else note
    yield from _other_problems(panels)


def _notes(panel: Panel, pairs: pd.DataFrame, baseline: str, reference: str) -> Iterator[Note]:
    yield from _few_seeds(panel)
    trained = any(panel.trained(label) for label in panel.labels)
    for role, name in (("baseline", baseline), ("reference", reference)):
        if trained and name not in panel.labels:
            text = f"The {role} {name} was not evaluated, so there are no pairs against it."
            yield Note("missing", text)
    for label in panel.labels:
        lacking = [b for b in panel.benchmarks if (label, b) not in panel.entries]
        if lacking:
            names = ", ".join(lacking)
            text = f"{label} was not evaluated on {names}, so it has no macro average."
            yield Note("missing", text)
    for benchmark in panel.benchmarks:
        yield from _few_problems(benchmark, pairs[pairs["benchmark"] == benchmark])
    yield from _without_width(panel)


def _without_width(panel: Panel) -> Iterator[Note]:
    same: dict[str, list[str]] = {}
    for label, benchmark in sorted(panel.entries):
        table = panel.entries[label, benchmark].table
        if table.shape[1] == 1:
            text = f"{benchmark} has a single problem, so {label} has no interval there."
            yield Note("statistics", text)
        elif np.ptp(table) == 0:
            same.setdefault(label, []).append(benchmark)
    for label, benchmarks in same.items():
        yield Note(
            "statistics",
            f"{label} on {', '.join(benchmarks)}: all problems have the same accuracy, so the"
            " interval has no width. That is no certainty: other problems may differ.",
        )


def _few_seeds(panel: Panel) -> Iterator[Note]:
    seeds = {name: len(panel.of(name)[0].grids) for name in panel.labels if panel.trained(name)}
    single = [name for name, number in seeds.items() if number == 1]
    if single:
        yield Note(
            "statistics",
            f"One training seed only ({', '.join(single)}): these figures speak of the checkpoints"
            " at hand, not of the methods. Which method is better may not be concluded, for another"
            " seed may turn the order around. Train with three seeds or more.",
        )
    two = [name for name, number in seeds.items() if number == 2]
    if two:
        yield Note(
            "statistics",
            f"Two training seeds only ({', '.join(two)}): in simulations where seeds vary by 4"
            " points, the 95% interval against an untrained policy covers the truth in 92 of 100"
            " comparisons, and equal methods come out as different in up to 16 of 100, at a Holm"
            " level of 5%. Train with three seeds or more.",
        )


def _few_problems(benchmark: str, pairs: pd.DataFrame) -> Iterator[Note]:
    smallest = pairs["minimum_detectable_points"].min()
    if pairs.empty or np.isnan(smallest):
        return
    problems = int(pairs["problems"].iloc[0])
    if problems < _FEWEST_PROBLEMS:
        yield Note(
            "statistics",
            f"{benchmark} has {problems} problems, fewer than the {_FEWEST_PROBLEMS} from which on"
            " the intervals have been seen to cover as often as they say: take them as a rough"
            " guide, and draw no conclusion from this benchmark alone.",
        )
    elif problems < _ENOUGH_PROBLEMS:
        largest = pairs["minimum_detectable_points"].max()
        one = f"{smallest:.1f}"
        points = one if one == f"{largest:.1f}" else f"{one} to {largest:.1f}"
        yield Note(
            "statistics",
            f"{benchmark} has {problems} problems: only a true difference of {points} points, by"
            " pair, would be found in 80 of 100 such comparisons. Draw no conclusion from this"
            " benchmark alone, and none from its silence.",
        )


def _other_problems(panels: Sequence[Panel]) -> Iterator[Note]:
    """Benchmarks on which models were asked different problems."""
    for benchmark in panels[0].benchmarks:
        asked = {
            panel.model: set(entry.problem_ids)
            for panel in panels
            for entry in panel.entries.values()
            if entry.benchmark == benchmark
        }
        if asked and set.union(*asked.values()) != set.intersection(*asked.values()):
            sizes = ", ".join(f"{model}: {len(problems)}" for model, problems in asked.items())
            yield Note(
                "statistics",
                f"The models were not asked the same problems of {benchmark} ({sizes}): compare"
                " methods within a model, not models.",
            )
