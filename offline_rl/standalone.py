"""Evaluates given models, without an experiment: each under a label, several beside each other."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_gen.types import DataError
from eval.evaluation import load_evaluation
from offline_rl.artifacts.layout import EVALUATION, REPORT
from offline_rl.artifacts.provenance import SAMPLING_PACKAGES, public_name, versions
from offline_rl.artifacts.stage import Stage, holds
from offline_rl.config.checkpoint_evaluation import (
    EvaluationSettings,
    command_of,
    read_labels,
    settings_of,
)
from offline_rl.config.yaml_io import to_yaml
from offline_rl.files import write_atomically
from offline_rl.findings import SEVERAL, Findings, report_on
from offline_rl.gathering_notes import benchmark_notes, damage_notes
from offline_rl.hashing import digest, first_change
from offline_rl.progress import Progress, Silent
from offline_rl.report import (
    Report,
    Samples,
    curves_table,
    data_table,
    training_table,
    write_report,
)
from offline_rl.sealing import sealed
from offline_rl.stages.context import Run
from offline_rl.stages.evaluate import (
    Job,
    evaluation_folder,
    evaluation_inputs,
    evaluations_step,
    manners,
)
from offline_rl.stages.session import at_work


def evaluate_alone(
    settings: EvaluationSettings, folder: Path, *, progress: Progress | None = None
) -> Report:
    """Evaluates the model on each benchmark, beside what the folder holds, and writes the report.

    What is finished is skipped, and a killed evaluation goes on where it was. Raises DataError
    where the label stands for other settings already: results of another model, prompt, sampling,
    verifier or version are not mixed under one label.
    """
    with at_work(settings, folder, progress or Silent()) as run:
        _evaluate(run)
        report = report_on(gather_alone(folder))
        write_report(folder / REPORT, report)
        return report


def _evaluate(run: Run[EvaluationSettings]) -> None:
    known = read_labels(run.folder)
    label = run.settings.name
    common = _common(run)
    if label in known:
        difference = first_change(known[label]["common"], json.loads(json.dumps(common)))
        if difference is not None:
            raise DataError(
                f"{run.folder}: {label} was evaluated otherwise before ({difference}): give this"
                " one a --label or an --out of its own"
            )
    jobs = _jobs(run)
    for job in jobs:
        conflict = job.stage.conflict()
        if conflict is not None:
            raise DataError(
                f"{job.stage.folder}: evaluated otherwise before ({conflict}): give this one a"
                " --label or an --out of its own"
            )
    if any(not job.stage.finished() for job in jobs):
        # A model that does not load leaves no label behind.
        run.engines.sampler(run.settings.model_path, run.settings.revision)
    _remember(run, known, common)
    evaluations_step(run, jobs)


def gather_alone(folder: Path) -> Findings:
    """All that is finished in a folder of `evaluate_alone`. Raises DataError where nothing is."""
    known = read_labels(folder)
    settings = {label: settings_of(one["settings"]) for label, one in known.items()}
    model = _model_of(known, settings)
    samples: list[Samples] = []
    notes: list[str] = []
    for one in settings.values():
        _add_samples(samples, notes, one, folder, model)
    if not samples:
        raise DataError(f"{folder}: no finished evaluation yet, so there is nothing to compare")
    first = samples[0].evaluation.label
    benchmarks = dict.fromkeys(b for one in settings.values() for b in one.evaluation.benchmarks)
    return Findings(
        name=folder.resolve().name,
        samples=tuple(samples),
        labels=tuple(label for n, one in settings.items() for label in one.evaluation.labels(n)),
        benchmarks=tuple(benchmarks),
        baseline=first,
        reference=first,
        training=training_table([], model=model),
        curves=curves_table([], model=model),
        data=data_table({}, model=model),
        summaries={},
        bases={model: _hash_of_weights(known)},
        hashes={},
        notes=tuple(dict.fromkeys(notes)),
        failures={},
        environment={label: one["common"]["versions"] for label, one in known.items()},
        settings=to_yaml(known),
        command="\n".join(command_of(one) for one in settings.values()),
        among_untrained=True,
    )


def _add_samples(
    samples: list[Samples], notes: list[str], settings: EvaluationSettings, folder: Path, model: str
) -> None:
    """The finished evaluations under one label, and what is to be said of them and the others."""
    for benchmark in settings.evaluation.benchmarks:
        for label, manner in manners(settings, settings.name, benchmark).items():
            at = evaluation_folder(folder, label, None, benchmark)
            damage = Stage(at, {}).damage()
            if damage is not None:
                notes.extend(damage_notes([f"{at.relative_to(folder)}: {damage}"]))
                continue
            if not holds(at, manner.settings()):
                notes.append(f"{label} on {benchmark} is not finished: the same command goes on.")
                continue
            evaluation = load_evaluation(
                at,
                model=model,
                label=label,
                training_seed=None,
                benchmark=benchmark,
                temperature=manner.sampling.temperature,
                top_p=manner.sampling.top_p,
            )
            samples.append(Samples(evaluation, at))
            notes.extend(benchmark_notes(at, benchmark))


def _model_of(known: Mapping[str, Any], settings: Mapping[str, EvaluationSettings]) -> str:
    """The model's name where all labels are of the same weights."""
    names = {public_name(one.model) for one in settings.values()}
    return names.pop() if len(names) == 1 and len(_weights(known)) == 1 else SEVERAL


def _weights(known: Mapping[str, Any]) -> set[str]:
    return {digest(one["common"]["model"]) for one in known.values()}


def _hash_of_weights(known: Mapping[str, Any]) -> str:
    distinct = _weights(known)
    return distinct.pop() if len(distinct) == 1 else digest(sorted(distinct))


def _jobs(run: Run[EvaluationSettings]) -> list[Job]:
    settings = run.settings
    jobs = []
    for name, source in settings.evaluation.benchmarks.items():
        problems = run.problems(source)
        for label, manner in manners(settings, settings.name, name).items():
            folder = evaluation_folder(run.folder, label, None, name)
            stage = Stage(folder, evaluation_inputs(problems, manner, run.base))
            doubt = source.doubt(problems)
            jobs.append(Job(label, None, settings.model_path, name, problems, manner, stage, doubt))
    return jobs


def _common(run: Run[EvaluationSettings]) -> dict[str, Any]:
    """What every benchmark's samples under a label depend on."""
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
    run: Run[EvaluationSettings], known: dict[str, Any], common: Mapping[str, Any]
) -> None:
    """Adds the label, or the benchmarks that are new under it, to the folder's settings."""
    settings = run.settings.model_dump(mode="json")
    benchmarks = {
        name: source.model_dump(mode="json", exclude_unset=True)
        for name, source in run.settings.evaluation.benchmarks.items()
    }
    if run.settings.name in known:
        before = known[run.settings.name]["settings"]["evaluation"]["benchmarks"]
        benchmarks = {**before, **benchmarks}
    settings["evaluation"]["benchmarks"] = benchmarks
    known[run.settings.name] = {"common": json.loads(json.dumps(common)), "settings": settings}
    write_atomically(run.folder / EVALUATION, sealed(known))
