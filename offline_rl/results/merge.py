"""Several runs' results as those of one comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from data_gen.types import DataError
from eval.evaluation import Evaluation
from eval.notes import Note
from offline_rl.report.contents import RunResults
from offline_rl.results.merge_differences import differences
from offline_rl.results.merge_labels import (
    models_of,
    with_labels,
    with_models,
    with_stages,
    without,
)

SEVERAL = "several"
"""In place of a base model's name, where evaluations alone are of more than one."""


def merge_models(parts: Mapping[str, RunResults], *, name: str, settings: str) -> RunResults:
    """Runs of the same experiment on several base models: each keeps its labels under its name."""
    renamed = [
        with_models(part, dict.fromkeys(models_of(part), key)) for key, part in parts.items()
    ]
    return _together(dict(zip(parts, renamed, strict=True)), name=name, settings=settings)


def merge_runs(parts: Mapping[str, RunResults], *, name: str) -> RunResults:
    """Runs that share benchmarks, on one base model or several; parts are named by their runs.

    Policies of the same base model stand in one table and are compared with each other; a label
    that several runs have becomes LABEL@RUN, unless it is the very same evaluation. Benchmarks that
    not every run has with the same problems are left out, with a note. Raises DataError where none
    is left.
    """
    parts = _one_name_a_model(parts)
    parts, notes = _shared_benchmarks(parts)
    parts = _labels_apart(parts)
    tagged = {run: with_stages(part, run) for run, part in parts.items()}
    settings = "".join(f"# {run}\n{part.settings}\n" for run, part in parts.items())
    joined = _together(tagged, name=name, settings=settings)
    return replace(joined, notes=(*notes, *differences(parts), *joined.notes))


def _together(parts: Mapping[str, RunResults], *, name: str, settings: str) -> RunResults:
    every = list(parts.values())
    # The roles are a run's, wherever it stands among models that were evaluated alone.
    first = next((part for part in every if not part.among_untrained), every[0])
    several = len(every) > 1
    return RunResults(
        name=name,
        samples=tuple(one for part in every for one in part.samples),
        labels=tuple(dict.fromkeys(label for part in every for label in part.labels)),
        benchmarks=tuple(dict.fromkeys(b for part in every for b in part.benchmarks)),
        baseline=first.baseline,
        reference=first.reference,
        training=_stacked([part.training for part in every]),
        curves=_stacked([part.curves for part in every]),
        data=_stacked([part.data for part in every]),
        summaries={model: one for part in every for model, one in part.summaries.items()},
        bases={model: base for part in every for model, base in part.bases.items()},
        hashes={
            f"{run} {what}": one for run, part in parts.items() for what, one in part.hashes.items()
        },
        notes=tuple(
            dict.fromkeys(
                note.of(run) if several else note
                for run, part in parts.items()
                for note in part.notes
            )
        ),
        failures={
            f"{run}: {what}": why
            for run, part in parts.items()
            for what, why in part.failures.items()
        },
        environment={run: part.environment for run, part in parts.items()},
        settings=settings,
        command="\n".join(part.command for part in every),
        among_untrained=all(part.among_untrained for part in every),
    )


def _stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The tables' rows below each other; an empty one does not change the columns' types."""
    filled = [table for table in tables if not table.empty]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def _one_name_a_model(parts: Mapping[str, RunResults]) -> dict[str, RunResults]:
    """The same weights under one name, other weights under another.

    Models that were evaluated alone stand beside a run's policies, since that is what they are
    joined for: where the runs have one base model they are shown under it, else under SEVERAL.
    """
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    renamed = {}
    for run, part in parts.items():
        if part.among_untrained:
            continue
        of_run = {}
        for model in models_of(part):
            base = part.bases.get(model, model)
            if base not in names:
                names[base] = model if model not in taken else f"{model} ({run})"
                taken[names[base]] = base
            of_run[model] = names[base]
        renamed[run] = with_models(part, of_run)
    beside = next(iter(taken)) if len(taken) == 1 else _name_alone(parts)
    return {
        run: renamed.get(run) or with_models(part, dict.fromkeys(models_of(part), beside))
        for run, part in parts.items()
    }


def _name_alone(parts: Mapping[str, RunResults]) -> str:
    """The one model of all evaluations alone, or SEVERAL."""
    alone = [part for part in parts.values() if part.among_untrained]
    names = {model for part in alone for model in models_of(part)}
    weights = {base for part in alone for base in part.bases.values()}
    return names.pop() if len(names) == 1 and len(weights) == 1 else SEVERAL


def _shared_benchmarks(parts: Mapping[str, RunResults]) -> tuple[dict[str, RunResults], list[Note]]:
    """The parts with the benchmarks that all have with the same problems, and what was left out."""
    problems = {run: _problems(part) for run, part in parts.items()}
    every = dict.fromkeys(b for found in problems.values() for b in found)
    shared: list[str] = []
    notes: list[Note] = []
    for benchmark in every:
        having = {run: found[benchmark] for run, found in problems.items() if benchmark in found}
        if len(having) < len(parts):
            lacking = ", ".join(run for run in parts if run not in having)
            text = f"Left out: benchmark {benchmark}, which {lacking} was not evaluated on."
            notes.append(Note("missing", text))
        elif len(set(having.values())) > 1:
            sizes = ", ".join(f"{run} {len(ids)}" for run, ids in having.items())
            text = f"Left out: benchmark {benchmark}, whose problems are not the same ({sizes})."
            notes.append(Note("missing", text))
        else:
            shared.append(benchmark)
    if not shared:
        raise DataError("these runs share no benchmark: " + " ".join(map(str, notes)))
    kept = {
        run: replace(
            part,
            benchmarks=tuple(shared),
            samples=tuple(s for s in part.samples if s.evaluation.benchmark in shared),
        )
        for run, part in parts.items()
    }
    return kept, notes


def _problems(part: RunResults) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for one in part.samples:
        if one.evaluation.benchmark not in found:
            found[one.evaluation.benchmark] = frozenset(one.evaluation.grid["problem_id"])
    return found


def _labels_apart(parts: Mapping[str, RunResults]) -> dict[str, RunResults]:
    """A label that several runs have gets the name of its run; the same evaluation is kept once."""
    owners: dict[tuple[str, str], list[str]] = {}
    for run, part in parts.items():
        for model, label in dict.fromkeys(
            (s.evaluation.model, s.evaluation.label) for s in part.samples
        ):
            owners.setdefault((model, label), []).append(run)
    apart = {}
    for run, part in parts.items():
        names: dict[tuple[str, str], str] = {}
        doubled: set[tuple[str, str]] = set()
        for at, runs in owners.items():
            if run not in runs or len(runs) == 1:
                continue
            if all(_same(parts[runs[0]], parts[other], at) for other in runs[1:]):
                doubled |= {at} if run != runs[0] else set()
            else:
                names[at] = f"{at[1]}@{run}"
        apart[run] = with_labels(without(part, doubled), names)
    return apart


def _same(part: RunResults, other: RunResults, at: tuple[str, str]) -> bool:
    """Whether both hold the very same samples of a label, with every training seed."""

    def of(one: RunResults) -> dict[tuple[str, int | None], Evaluation]:
        return {
            (s.evaluation.benchmark, s.evaluation.training_seed): s.evaluation
            for s in one.samples
            if (s.evaluation.model, s.evaluation.label) == at
        }

    first, second = of(part), of(other)
    return first.keys() == second.keys() and all(_equal(first[one], second[one]) for one in first)


def _equal(one: Evaluation, other: Evaluation) -> bool:
    return one.temperature == other.temperature and one.grid.equals(other.grid)
