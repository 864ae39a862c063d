"""Evaluates given models, without an experiment: each under a label, several beside each other."""

from pathlib import Path

from data_gen.types import DataError
from offline_rl.artifacts.checksums import first_change, plain
from offline_rl.artifacts.layout import REPORT
from offline_rl.artifacts.provenance import SAMPLING_PACKAGES, versions
from offline_rl.artifacts.records import EvaluatedLabels, LabelInputs, StoredLabel
from offline_rl.config.checkpoint_evaluation import (
    CheckpointEvaluation,
    read_labels,
    settings_of,
)
from offline_rl.config.dump import as_given
from offline_rl.progress import Progress, Silent
from offline_rl.report import Report, write_report
from offline_rl.report.build_report import build_report
from offline_rl.results.checkpoint_results import collect_checkpoints
from offline_rl.stages.context import Run
from offline_rl.stages.evaluate import evaluation_jobs, evaluations_step
from offline_rl.stages.session import at_work


def evaluate_checkpoint(
    settings: CheckpointEvaluation, folder: Path, *, progress: Progress | None = None
) -> Report:
    """Evaluates the model on each benchmark, beside what the folder holds, and writes the report.

    What is finished is skipped, and a killed evaluation goes on where it was. Raises DataError
    where the label stands for other settings already: results of another model, prompt, sampling,
    verifier or version are not mixed under one label.
    """
    with at_work(settings, folder, progress or Silent()) as run:
        _evaluate(run)
        report = build_report(collect_checkpoints(folder))
        write_report(folder / REPORT, report)
        return report


def _evaluate(run: Run[CheckpointEvaluation]) -> None:
    known = read_labels(run.folder)
    label = run.settings.name
    common = _common(run)
    if label in known:
        difference = first_change(known[label].common, plain(common))
        if difference is not None:
            raise DataError(
                f"{run.folder}: {label} was evaluated otherwise before ({difference}): give this"
                " one a --label or an --out of its own"
            )
    settings = run.settings
    jobs = evaluation_jobs(run, settings.name, None, settings.base_model, run.base)
    for job in jobs:
        conflict = job.stage.conflict()
        if conflict is not None:
            raise DataError(
                f"{job.stage.folder}: evaluated otherwise before ({conflict}): give this one a"
                " --label or an --out of its own"
            )
    if any(not job.stage.finished() for job in jobs):
        # A model that does not load leaves no label behind.
        run.engines.sampler(settings.base_model)
    _remember(run, known, common)
    evaluations_step(run, jobs)


def _common(run: Run[CheckpointEvaluation]) -> LabelInputs:
    settings = run.settings
    return {
        "model": run.base,
        "prompt": settings.prompt,
        "sampling": settings.evaluation.sampling.model_dump(mode="json"),
        "sampler": settings.sampler.result_settings,
        "verifier": settings.verifier.description,
        "versions": versions(SAMPLING_PACKAGES),
    }


def _remember(
    run: Run[CheckpointEvaluation], known: dict[str, StoredLabel], common: LabelInputs
) -> None:
    """Adds the label, or the benchmarks that are new under it, to the folder's settings."""
    label, settings = run.settings.name, run.settings.model_dump(mode="json")
    benchmarks = as_given(run.settings.evaluation.benchmarks)
    if label in known:
        before = settings_of(label, known[label]).evaluation.benchmarks
        benchmarks = {**as_given(before), **benchmarks}
    settings["evaluation"]["benchmarks"] = benchmarks
    stored = StoredLabel(common=common, settings=settings)
    EvaluatedLabels(labels={**known, label: stored}).write(run.folder)
