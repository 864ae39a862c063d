"""What a run's folder holds, compared and exported."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_gen.types import DataError, Sampling
from eval.comparison import compare
from eval.evaluation import Evaluation, load_evaluation
from offline_rl.config import Experiment
from offline_rl.files import write_atomically
from offline_rl.report import Report, data_table, training_table, write_report
from offline_rl.report.fairness import with_budgets, with_marks
from offline_rl.settings import dump_settings
from offline_rl.stages import Stage, digest, holds, read_manifest
from offline_rl.steps.behaviour import gap_notes, read_gap
from offline_rl.steps.budget import with_budget
from offline_rl.steps.context import ABOUT, SUMMARY
from offline_rl.steps.dataset import dataset_folder
from offline_rl.steps.evaluations import evaluation_folder, evaluation_settings
from offline_rl.steps.policies import REPORT as POLICY_REPORT
from offline_rl.steps.policies import policy_folder, policy_settings, read_failure, read_record
from offline_rl.steps.sweep import read_trials, trial_notes, with_best

FOLDER = "report"
ENVIRONMENT = "environment.json"
MANIFEST = "manifest.json"


def results_step(experiment: Experiment, folder: Path) -> Report:
    """Compares the finished evaluations and writes the report's files."""
    report = gather(experiment, folder)
    (folder / FOLDER).mkdir(exist_ok=True)
    write_report(folder / FOLDER, report)
    manifest = json.dumps(_manifest(folder, report), indent=1) + "\n"
    write_atomically(folder / FOLDER / MANIFEST, manifest)
    return report


def gather(experiment: Experiment, folder: Path) -> Report:
    """The report of all that is finished in a run's folder; nothing is sampled or trained.

    What was made with other settings than the experiment's is left out, with a note.
    """
    if read_manifest(dataset_folder(folder)) is None:
        raise DataError(f"{folder}: no finished data set yet, so there is nothing to report")
    experiment = with_budget(experiment, folder)
    trials = read_trials(experiment, folder)
    experiment = with_best(experiment, folder)
    trained, stale = _trained(experiment, folder)
    failures = {at: why for at in trained if (why := read_failure(policy_folder(folder, *at)))}
    evaluations, outdated = _evaluations(experiment, folder, set(trained) - failures.keys())
    if not evaluations:
        raise DataError(f"{folder}: no finished evaluation yet, so there is nothing to compare")
    gap = read_gap(folder)
    compared = compare(
        evaluations,
        labels=[*experiment.decodings(), *experiment.methods],
        benchmarks=list(experiment.evaluation.benchmarks),
        reference=experiment.reference,
    )
    training = training_table(
        [read_record(policy_folder(folder, *at), *at) for at in trained], trials
    )
    return Report(
        name=experiment.name,
        comparison=with_budgets(compared.comparison, training),
        pairwise=with_marks(compared.pairwise, training),
        training=training,
        data=data_table({**_read_json(dataset_folder(folder) / SUMMARY), "behaviour": gap}),
        notes=(
            *compared.notes,
            *_left_out(stale + outdated),
            *_overlaps(experiment, folder),
            *_too_long(experiment, folder),
            *gap_notes(gap),
            *trial_notes(experiment, trials),
        ),
        failures={f"{label}, seed {seed}": why for (label, seed), why in failures.items()},
        environment=_read_json(folder / ENVIRONMENT),
        settings=dump_settings(experiment),
    )


def _manifest(folder: Path, report: Report) -> dict[str, Any]:
    """What all methods of the comparison had in common, by hash."""
    about = _read_json(dataset_folder(folder) / ABOUT)
    about = about.get("tokenised_for", about)
    shared = ("model", "revision", "model_sha256", "tokenizer_sha256", "prompt", "prompt_sha256")
    return {
        "name": report.name,
        "dataset_sha256": Stage(dataset_folder(folder), {}).digest(),
        **{name: about[name] for name in shared},
        "settings_sha256": digest(report.settings),
        "versions": report.environment["packages"],
    }


def _trained(experiment: Experiment, folder: Path) -> tuple[list[tuple[str, int]], list[str]]:
    """Label and seed of the policies made with these settings, and the names of the others."""
    dataset = Stage(dataset_folder(folder), {}).digest()
    current, stale = [], []
    for label, method in experiment.methods.items():
        for seed in experiment.seeds:
            at = policy_folder(folder, label, seed)
            inputs = {**policy_settings(experiment, method), "seed": seed, "dataset": dataset}
            if holds(at, inputs):
                current.append((label, seed))
            elif read_manifest(at) is not None:
                stale.append(str(at.relative_to(folder)))
    return current, stale


def _evaluations(
    experiment: Experiment, folder: Path, trained: set[tuple[str, int]]
) -> tuple[list[Evaluation], list[str]]:
    """The evaluations made with these settings, and the names of the others."""
    decoded: list[tuple[str, int | None, Sampling]] = [
        (label, None, sampling) for label, sampling in experiment.decodings().items()
    ]
    decoded += [
        (label, seed, experiment.evaluation.sampling)
        for label in experiment.methods
        for seed in experiment.seeds
        if (label, seed) in trained
    ]
    current, stale = [], []
    for label, seed, sampling in decoded:
        inputs = evaluation_settings(experiment, sampling)
        if seed is not None:
            policy = Stage(policy_folder(folder, label, seed), {}, (POLICY_REPORT,))
            inputs["model"] = {"policy": policy.digest()}
        for benchmark in experiment.evaluation.benchmarks:
            at = evaluation_folder(folder, label, seed, benchmark)
            if holds(at, inputs):
                current.append(
                    load_evaluation(
                        at,
                        label=label,
                        training_seed=seed,
                        benchmark=benchmark,
                        temperature=sampling.temperature,
                    )
                )
            elif read_manifest(at) is not None:
                stale.append(str(at.relative_to(folder)))
    return current, stale


def _left_out(stale: list[str]) -> list[str]:
    if not stale:
        return []
    more = f" and {len(stale) - 3} more" if len(stale) > 3 else ""
    return [
        f"Left out, since other settings made them: {', '.join(stale[:3])}{more}."
        " Run the experiment to bring them up to date."
    ]


def _too_long(experiment: Experiment, folder: Path) -> list[str]:
    """A note for each benchmark with problems that the model's context does not hold."""
    notes = []
    for benchmark in experiment.evaluation.benchmarks:
        about = evaluation_folder(folder, "base", None, benchmark) / ABOUT
        if about.is_file():
            left_out = _read_json(about)["left_out_too_long"]
            if left_out:
                notes.append(
                    f"{len(left_out)} problems of benchmark {benchmark} are longer than the"
                    " model's context and were left out for every policy."
                )
    return notes


def _overlaps(experiment: Experiment, folder: Path) -> list[str]:
    """A note for each benchmark that shares problems with the rollouts."""
    trained_on = _prompts(dataset_folder(folder))
    notes = []
    for benchmark in experiment.evaluation.benchmarks:
        asked = _prompts(evaluation_folder(folder, "base", None, benchmark))
        shared = len(trained_on & asked)
        if shared:
            notes.append(
                f"{shared} of {len(asked)} problems of benchmark {benchmark} are among the problems"
                " of the data set: its figures tell of memory as well as of skill."
            )
    return notes


def _prompts(folder: Path) -> set[str]:
    found: set[str] = set()
    for part in sorted(folder.glob("part-*.parquet")):
        column = pq.read_table(part, columns=["problem"]).column("problem")
        found.update(text.strip() for text in column.unique().to_pylist())
    return found


def _read_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
