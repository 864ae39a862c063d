"""What is finished in a run's folder; nothing is sampled or trained."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from data_gen.types import DataError
from offline_rl.artifacts.checksums import read_sealed
from offline_rl.artifacts.layout import ABOUT, ENVIRONMENT, SETTINGS, SUMMARY
from offline_rl.artifacts.provenance import public_name
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.config.load import dump_settings
from offline_rl.config.schema import Experiment
from offline_rl.report import Samples, curves_table, data_table, training_table
from offline_rl.results.read_evaluations import StageAt, read_evaluations
from offline_rl.results.run_notes import (
    code_notes,
    damage_notes,
    data_notes,
    import_notes,
    method_notes,
    rounding_notes,
)
from offline_rl.results.run_results import RunResults
from offline_rl.settings.evaluation import BASE
from offline_rl.stages.budget import with_budget
from offline_rl.stages.filter import dataset_folder
from offline_rl.stages.logprob_check import gap_notes, read_gap
from offline_rl.stages.policies import policy_folder, policy_settings, read_failure, read_record
from offline_rl.stages.run_sweep import read_trials, trial_notes, with_best


@dataclass(frozen=True)
class _Found:
    """The finished things made with the settings at hand, and the names of others."""

    trained: list[tuple[str, int]]
    samples: list[Samples]
    stale: list[str]
    damaged: list[str]


def collect_run(experiment: Experiment, folder: Path) -> RunResults:
    """All that is finished in a run's folder.

    What was made with other settings than the experiment's is left out, with a note. Raises
    DataError where nothing can be compared yet.
    """
    # One object a stage: whatever asks for it, its files are hashed once.
    stage_at = cache(PublishedStage)
    dataset = stage_at(dataset_folder(folder))
    if dataset.manifest is None:
        if dataset.damage() is not None:
            raise DataError(f"{dataset.folder}: {dataset.damage()}: run it again")
        raise DataError(f"{folder}: no finished data set yet, so there is nothing to report")
    experiment = with_budget(experiment, folder)
    trials = read_trials(experiment, folder)
    experiment = with_best(experiment, folder)
    found = _find(experiment, folder, stage_at)
    if not found.samples:
        raise DataError(f"{folder}: no finished evaluation yet, so there is nothing to compare")
    gap = read_gap(folder)
    summary = {**dataset.read_json(SUMMARY), "behaviour": gap}
    policies = {at: stage_at(policy_folder(folder, *at)) for at in found.trained}
    records = [read_record(stage, *at) for at, stage in policies.items()]
    model, evaluation = public_name(experiment.model), experiment.evaluation
    hashes = _hashes(dataset)
    return RunResults(
        name=experiment.name,
        samples=tuple(found.samples),
        labels=tuple(one for p in (BASE, *experiment.methods) for one in evaluation.labels(p)),
        benchmarks=tuple(evaluation.benchmarks),
        baseline=BASE,
        reference=experiment.reference,
        training=training_table(records, trials, model=model),
        curves=curves_table(records, model=model),
        data=data_table(summary, model=model),
        summaries={model: summary},
        bases={model: hashes["model_sha256"]},
        hashes=hashes,
        notes=(
            *_left_out(found.stale),
            *damage_notes(found.damaged),
            *data_notes(dataset, folder, evaluation.benchmarks, stage_at),
            *import_notes(dataset),
            *gap_notes(gap),
            *method_notes(experiment, {label for label, _ in found.trained}),
            *code_notes((label, stage) for (label, _), stage in policies.items()),
            *trial_notes(experiment, trials),
            *rounding_notes(records, _engines(found.samples, stage_at)),
        ),
        failures={
            f"{one['label']}, seed {one['training_seed']}": one["failure"]
            for one in records
            if "failure" in one
        },
        environment=read_sealed(folder / ENVIRONMENT),
        settings=dump_settings(experiment),
        command=again(folder),
    )


def again(folder: Path) -> str:
    """The command that repeats a run, without the path of its folder on this machine."""
    settings = f"{folder.resolve().name}/{SETTINGS}"
    return f"offline-rl run {shlex.quote(settings)} --out NEW_FOLDER"


def _engines(samples: Iterable[Samples], stage_at: StageAt) -> list[dict[str, str]]:
    """What sampled the trained policies."""
    places = (one.folder for one in samples if one.evaluation.training_seed is not None)
    return [stage_at(place).read_json(ABOUT).get("engine", {}) for place in places if place]


def _hashes(dataset: PublishedStage) -> dict[str, str]:
    """Of what all policies of a run had in common."""
    about = dataset.read_json(ABOUT)
    about = about.get("tokenised_for", about)
    names = ("model_sha256", "tokenizer_sha256", "prompt_sha256")
    return {"dataset_sha256": dataset.digest(), **{name: about[name] for name in names}}


def _find(experiment: Experiment, folder: Path, stage_at: StageAt) -> _Found:
    dataset = stage_at(dataset_folder(folder)).digest()
    found = _Found([], [], [], [])
    _add_samples(found, experiment, folder, BASE, None, stage_at)
    for label, method in experiment.methods.items():
        for seed in experiment.seeds:
            stage = stage_at(policy_folder(folder, label, seed))
            name = str(stage.folder.relative_to(folder))
            inputs = {**policy_settings(experiment, method), "seed": seed, "dataset": dataset}
            if stage.damage() is not None:
                found.damaged.append(f"{name}: {stage.damage()}")
            elif stage.was_made_with(inputs):
                found.trained.append((label, seed))
                if read_failure(stage) is None:
                    _add_samples(found, experiment, folder, label, seed, stage_at)
            elif stage.manifest is not None:
                found.stale.append(name)
    return found


def _add_samples(
    found: _Found,
    experiment: Experiment,
    folder: Path,
    policy: str,
    seed: int | None,
    stage_at: StageAt,
) -> None:
    """The evaluations of one policy in its decodings."""
    read: dict[str, Any] = {}
    if seed is not None:
        read = {"model": {"policy": stage_at(policy_folder(folder, policy, seed)).digest()}}
    model = public_name(experiment.model)
    for one in read_evaluations(
        experiment, folder, policy, seed, model=model, read=read, stage_at=stage_at
    ):
        name = str(one.stage.folder.relative_to(folder))
        if one.samples is not None:
            found.samples.append(one.samples)
        elif one.stage.damage() is not None:
            found.damaged.append(f"{name}: {one.stage.damage()}")
        elif one.stage.manifest is not None:
            found.stale.append(name)


def _left_out(stale: list[str]) -> list[str]:
    if not stale:
        return []
    more = f" and {len(stale) - 3} more" if len(stale) > 3 else ""
    return [
        f"Left out, since other settings made them: {', '.join(stale[:3])}{more}."
        " Run the experiment to bring them up to date."
    ]
