"""What is finished in a run's folder; nothing is sampled or trained."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_gen.types import DataError
from offline_rl.artifacts.checksums import read_sealed
from offline_rl.artifacts.layout import ABOUT, ENVIRONMENT, SETTINGS, SUMMARY, TRAINING
from offline_rl.artifacts.provenance import public_name
from offline_rl.artifacts.stage import Stage, holds, read_manifest, read_published
from offline_rl.config.load import dump_settings
from offline_rl.config.schema import Experiment
from offline_rl.report import Samples, curves_table, data_table, training_table
from offline_rl.results.read_evaluations import read_evaluations
from offline_rl.results.run_notes import (
    code_notes,
    damage_notes,
    data_notes,
    import_notes,
    method_notes,
    rounding_notes,
)
from offline_rl.results.run_results import Findings
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


def gather(experiment: Experiment, folder: Path) -> Findings:
    """All that is finished in a run's folder.

    What was made with other settings than the experiment's is left out, with a note. Raises
    DataError where nothing can be compared yet.
    """
    if read_manifest(dataset_folder(folder)) is None:
        damage = Stage(dataset_folder(folder), {}).damage()
        if damage is not None:
            raise DataError(f"{dataset_folder(folder)}: {damage}: run it again")
        raise DataError(f"{folder}: no finished data set yet, so there is nothing to report")
    experiment = with_budget(experiment, folder)
    trials = read_trials(experiment, folder)
    experiment = with_best(experiment, folder)
    found = _find(experiment, folder)
    if not found.samples:
        raise DataError(f"{folder}: no finished evaluation yet, so there is nothing to compare")
    gap = read_gap(folder)
    summary = {**read_published(dataset_folder(folder), SUMMARY), "behaviour": gap}
    records = [read_record(policy_folder(folder, *at), *at) for at in found.trained]
    model, evaluation = public_name(experiment.model), experiment.evaluation
    hashes = _hashes(folder)
    return Findings(
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
            *data_notes(dataset_folder(folder), folder, evaluation.benchmarks),
            *import_notes(dataset_folder(folder)),
            *gap_notes(gap),
            *method_notes(experiment, {label for label, _ in found.trained}),
            *code_notes((at[0], policy_folder(folder, *at)) for at in found.trained),
            *trial_notes(experiment, trials),
            *rounding_notes(records, _engines(found.samples)),
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
    """The command that makes a run anew; where its folder lies on this machine is not told."""
    settings = f"{folder.resolve().name}/{SETTINGS}"
    return f"offline-rl run {shlex.quote(settings)} --out NEW_FOLDER"


def _engines(samples: Iterable[Samples]) -> list[dict[str, str]]:
    """What sampled the trained policies."""
    places = (one.folder for one in samples if one.evaluation.training_seed is not None)
    return [read_published(place, ABOUT).get("engine", {}) for place in places if place]


def _hashes(folder: Path) -> dict[str, str]:
    """Of what all policies of a run had in common."""
    about = read_published(dataset_folder(folder), ABOUT)
    about = about.get("tokenised_for", about)
    names = ("model_sha256", "tokenizer_sha256", "prompt_sha256")
    dataset = Stage(dataset_folder(folder), {}).digest()
    return {"dataset_sha256": dataset, **{name: about[name] for name in names}}


def _find(experiment: Experiment, folder: Path) -> _Found:
    dataset = Stage(dataset_folder(folder), {}).digest()
    found = _Found([], [], [], [])
    _add_samples(found, experiment, folder, BASE, None)
    for label, method in experiment.methods.items():
        for seed in experiment.seeds:
            at = policy_folder(folder, label, seed)
            inputs = {**policy_settings(experiment, method), "seed": seed, "dataset": dataset}
            damage = Stage(at, {}).damage()
            if damage is not None:
                found.damaged.append(f"{at.relative_to(folder)}: {damage}")
            elif holds(at, inputs):
                found.trained.append((label, seed))
                if read_failure(at) is None:
                    _add_samples(found, experiment, folder, label, seed)
            elif read_manifest(at) is not None:
                found.stale.append(str(at.relative_to(folder)))
    return found


def _add_samples(
    found: _Found, experiment: Experiment, folder: Path, policy: str, seed: int | None
) -> None:
    """The evaluations of one policy in its decodings."""
    read: dict[str, Any] = {}
    if seed is not None:
        stage = Stage(policy_folder(folder, policy, seed), {}, (TRAINING,))
        read = {"model": {"policy": stage.digest()}}
    model = public_name(experiment.model)
    evaluations = read_evaluations(experiment, folder, policy, seed, model=model, read=read)
    for _, _, at, result in evaluations:
        if isinstance(result, Samples):
            found.samples.append(result)
        elif result is not None:
            found.damaged.append(f"{at.relative_to(folder)}: {result}")
        elif read_manifest(at) is not None:
            found.stale.append(str(at.relative_to(folder)))


def _left_out(stale: list[str]) -> list[str]:
    if not stale:
        return []
    more = f" and {len(stale) - 3} more" if len(stale) > 3 else ""
    return [
        f"Left out, since other settings made them: {', '.join(stale[:3])}{more}."
        " Run the experiment to bring them up to date."
    ]
