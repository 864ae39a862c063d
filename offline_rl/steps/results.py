"""What a run's folder holds, compared and exported."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_gen.types import DataError
from eval.comparison import compare
from eval.evaluation import Evaluation, load_evaluation
from offline_rl.config import Experiment
from offline_rl.report import Report, data_table, training_table, write_report
from offline_rl.settings import dump_experiment
from offline_rl.stages import read_manifest
from offline_rl.steps.evaluations import evaluation_folder
from offline_rl.steps.policies import policy_folder, read_failure, read_record
from offline_rl.steps.rollouts import read_summary, rollouts_folder

FOLDER = "report"
ENVIRONMENT = "environment.json"


def results_step(experiment: Experiment, folder: Path) -> Report:
    """Compares the finished evaluations and writes the report's files."""
    report = gather(experiment, folder)
    (folder / FOLDER).mkdir(exist_ok=True)
    write_report(folder / FOLDER, report)
    return report


def gather(experiment: Experiment, folder: Path) -> Report:
    """The report of all that is finished in a run's folder; nothing is sampled or trained."""
    runs = [
        (label, seed, policy_folder(folder, label, seed))
        for label in experiment.methods
        for seed in experiment.seeds
    ]
    trained = [run for run in runs if read_manifest(run[2]) is not None]
    failures = {(label, seed): read_failure(at) for label, seed, at in trained}
    evaluations = list(
        _evaluations(experiment, folder, {run for run, why in failures.items() if why})
    )
    if not evaluations:
        raise DataError(f"{folder}: no finished evaluation yet, so there is nothing to compare")
    compared = compare(
        evaluations,
        labels=[*experiment.decodings(), *experiment.methods],
        benchmarks=list(experiment.evaluation.benchmarks),
    )
    return Report(
        name=experiment.name,
        comparison=compared.comparison,
        pairwise=compared.pairwise,
        training=training_table([read_record(at, label, seed) for label, seed, at in trained]),
        data=data_table(read_summary(folder)),
        notes=(*compared.notes, *_overlaps(experiment, folder)),
        failures={f"{label}, seed {seed}": why for (label, seed), why in failures.items() if why},
        environment=_read_environment(folder),
        settings=dump_experiment(experiment),
    )


def _evaluations(
    experiment: Experiment, folder: Path, failed: set[tuple[str, int]]
) -> Iterator[Evaluation]:
    decoded: list[tuple[str, int | None, float]] = [
        (label, None, sampling.temperature) for label, sampling in experiment.decodings().items()
    ]
    decoded += [
        (label, seed, experiment.evaluation.sampling.temperature)
        for label in experiment.methods
        for seed in experiment.seeds
        if (label, seed) not in failed
    ]
    for label, seed, temperature in decoded:
        for benchmark in experiment.evaluation.benchmarks:
            at = evaluation_folder(folder, label, seed, benchmark)
            if read_manifest(at) is not None:
                yield load_evaluation(
                    at,
                    label=label,
                    training_seed=seed,
                    benchmark=benchmark,
                    temperature=temperature,
                )


def _overlaps(experiment: Experiment, folder: Path) -> list[str]:
    """A note for each benchmark that shares problems with the rollouts."""
    trained_on = _prompts(rollouts_folder(folder))
    notes = []
    for benchmark in experiment.evaluation.benchmarks:
        asked = _prompts(evaluation_folder(folder, "base", None, benchmark))
        shared = len(trained_on & asked)
        if shared:
            notes.append(
                f"{shared} of {len(asked)} problems of benchmark {benchmark} are among the problems"
                " of the rollouts: its figures tell of memory as well as of skill."
            )
    return notes


def _prompts(folder: Path) -> set[str]:
    found: set[str] = set()
    for part in sorted(folder.glob("part-*.parquet")):
        column = pq.read_table(part, columns=["problem"]).column("problem")
        found.update(text.strip() for text in column.unique().to_pylist())
    return found


def _read_environment(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))
    return found
