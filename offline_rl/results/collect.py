"""What is finished in a run's folder; nothing is sampled or trained."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue

from data_gen.types import DataError
from eval.notes import Note
from offline_rl.artifacts.checksums import digest
from offline_rl.artifacts.layout import SETTINGS
from offline_rl.artifacts.provenance import public_name
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.artifacts.records import (
    DatasetAbout,
    DatasetSummary,
    Environment,
    EvaluationInfo,
    Overlap,
    TrainedPolicy,
    TrainingFailure,
    TrainingReport,
)
from offline_rl.config.dump import dump_settings, settings_digest
from offline_rl.config.schema import Experiment
from offline_rl.report import Samples, curves_table, data_table, training_table
from offline_rl.report.contents import RunResults
from offline_rl.results.run_notes import (
    benchmark_notes,
    code_notes,
    damage_notes,
    import_notes,
    method_notes,
    overlap_note,
    rounding_notes,
)
from offline_rl.results.run_stages import MadeFrom, RunStages
from offline_rl.settings.evaluation import BASE
from offline_rl.stages.budget import with_budget
from offline_rl.stages.evaluate import evaluation_folder
from offline_rl.stages.filter import dataset_folder
from offline_rl.stages.leakage_check import overlap_folder
from offline_rl.stages.logprob_check import behaviour_folder, gap_notes, read_gap
from offline_rl.stages.policies import policy_folder, read_policy
from offline_rl.stages.run_sweep import read_trials, trial_notes, with_best


def collect_run(experiment: Experiment, folder: Path) -> RunResults:
    """All that is finished in a run's folder.

    What was made with other settings than the experiment's is left out, with a note. Raises
    DataError where nothing can be compared yet.
    """
    stages = RunStages(folder, settings_digest(experiment))
    dataset = stages.at(dataset_folder(folder))
    if dataset.manifest is None:
        if dataset.damage() is not None:
            raise DataError(f"{dataset.folder}: {dataset.damage()}: run it again")
        raise DataError(f"{folder}: no finished data set yet, so there is nothing to report")
    experiment = with_budget(experiment, folder)
    trials = read_trials(experiment, folder)
    experiment = with_best(experiment, folder)
    model, evaluation = public_name(experiment.model), experiment.evaluation
    hashes = _hashes(dataset)

    def of_base(inputs: Mapping[str, JsonValue]) -> bool:
        return digest(inputs["model"]) == hashes["model_sha256"]

    def of_dataset(inputs: Mapping[str, JsonValue]) -> bool:
        return inputs["dataset"] == hashes["dataset_sha256"]

    samples = list(stages.evaluations(evaluation, BASE, None, model=model, made_from=of_base))
    policies: list[TrainedPolicy] = []
    for label in experiment.methods:
        for seed in experiment.seeds:
            stage = stages.current(policy_folder(folder, label, seed), of_dataset)
            if stage is None:
                continue
            policies.append(read_policy(stage, label, seed))
            if isinstance(policies[-1].outcome, TrainingReport):
                samples += stages.evaluations(
                    evaluation, label, seed, model=model, made_from=_sampled_from(stage)
                )
    if not samples:
        others = f" ({len(stages.stale)} stages are of other settings or data)"
        raise DataError(
            f"{folder}: no finished evaluation yet, so there is nothing to compare"
            f"{others if stages.stale else ''}"
        )
    about_data = list(_data_notes(stages, evaluation.benchmarks))
    gap = read_gap(folder) if stages.current(behaviour_folder(folder)) is not None else None
    measured = {} if gap is None else gap.model_dump(exclude_none=True)
    summary = dataset.read(DatasetSummary)
    return RunResults(
        name=experiment.name,
        samples=tuple(samples),
        labels=tuple(one for p in (BASE, *experiment.methods) for one in evaluation.labels(p)),
        benchmarks=tuple(evaluation.benchmarks),
        baseline=BASE,
        reference=experiment.reference,
        training=training_table(policies, trials, model=model),
        curves=curves_table(policies, model=model),
        data=data_table({**summary.model_dump(mode="json"), "behaviour": measured}, model=model),
        summaries={model: summary},
        bases={model: hashes["model_sha256"]},
        hashes=hashes,
        notes=(
            *_left_out(stages.stale),
            *damage_notes(stages.damaged),
            *about_data,
            *import_notes(dataset),
            *gap_notes(gap),
            *method_notes(experiment, {policy.label for policy in policies}),
            *code_notes(policies),
            *trial_notes(experiment, trials),
            *rounding_notes(policies, _engines(samples, stages)),
        ),
        failures={
            f"{one.label}, seed {one.training_seed}": one.outcome.reason
            for one in policies
            if isinstance(one.outcome, TrainingFailure)
        },
        environment=Environment.read(folder).model_dump(mode="json"),
        settings=dump_settings(experiment),
        command=again(folder),
    )


def again(folder: Path) -> str:
    """The command that repeats a run, without the path of its folder on this machine."""
    settings = f"{folder.resolve().name}/{SETTINGS}"
    return f"offline-rl run {shlex.quote(settings)} --out NEW_FOLDER"


def _sampled_from(policy: PublishedStage) -> MadeFrom:
    return lambda inputs: inputs["model"] == {"policy": policy.digest()}


def _data_notes(stages: RunStages, benchmarks: Iterable[str]) -> Iterator[Note]:
    """Sentences on each benchmark, as the base was asked it, and on what the data set has of it."""
    counted = stages.current(overlap_folder(stages.folder))
    overlap = Overlap(benchmarks={}) if counted is None else counted.read(Overlap)
    for benchmark in benchmarks:
        asked = stages.at(evaluation_folder(stages.folder, BASE, None, benchmark))
        if asked.manifest is not None and asked.damage() is None:
            yield from benchmark_notes(asked.read(EvaluationInfo))
        yield from overlap_note(overlap, benchmark)


def _engines(samples: Iterable[Samples], stages: RunStages) -> list[dict[str, str]]:
    """What sampled the trained policies."""
    places = (one.folder for one in samples if one.evaluation.training_seed is not None)
    return [stages.at(place).read(EvaluationInfo).engine for place in places if place]


def _hashes(dataset: PublishedStage) -> dict[str, str]:
    """Of what all policies of a run had in common."""
    policy = dataset.read(DatasetAbout).tokenised_for
    return {
        "dataset_sha256": dataset.digest(),
        "model_sha256": policy.model_sha256,
        "tokenizer_sha256": policy.tokenizer_sha256,
        "prompt_sha256": policy.prompt_sha256,
    }


def _left_out(stale: list[str]) -> list[Note]:
    if not stale:
        return []
    more = f" and {len(stale) - 3} more" if len(stale) > 3 else ""
    return [
        Note(
            "missing",
            f"Left out, since other settings made them: {', '.join(stale[:3])}{more}."
            " Run the experiment to bring them up to date.",
        )
    ]
