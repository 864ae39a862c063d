"""Tries out each method's settings on validation problems and takes the best of them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.metrics import avg_at_k
from eval.notes import Note
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.artifacts.records import FinishedTrial, TrainedPolicy, Trials, TrialScore
from offline_rl.artifacts.stage import Stage
from offline_rl.config.schema import Experiment
from offline_rl.config.sweep_settings import Sweep, variants
from offline_rl.methods import Method
from offline_rl.stages.context import Run
from offline_rl.stages.evaluate import (
    Job,
    SamplingSetup,
    evaluation_inputs,
    evaluations_step,
    read_evaluation,
)
from offline_rl.stages.policies import Policy, policy, read_policy
from offline_rl.stages.train_policies import train_policies

_VALIDATION = "validation"


@dataclass(frozen=True)
class Trial:
    """One variant of a method; its number is its place in the grid."""

    label: str
    number: int
    policy: Policy


def sweep_step(run: Run[Experiment], dataset: Stage, *, retry_failed: bool) -> Experiment:
    """The experiment with each swept method as it did best; the same where nothing is swept.

    The best has the highest avg@k on the validation problems, the first of equals.
    """
    sweep = run.settings.sweep
    if sweep is None:
        return run.settings
    trials = [
        _trial(run, sweep, dataset, label, number, method)
        for label in sweep.grids
        for number, method in enumerate(_variants(run.settings, sweep, label))
    ]
    train_policies(
        run,
        dataset,
        [trial.policy for trial in trials],
        retry_failed=retry_failed,
        awaited=lambda one: not run.finished(_job(run, sweep, one).stage),
    )
    jobs = {
        id(trial): _job(run, sweep, trial.policy)
        for trial in trials
        if trial.policy.failure is None
    }
    evaluations_step(run, list(jobs.values()))
    # Training comes next, and does not share a GPU's memory.
    run.engines.close()
    for trial in trials:
        trial.policy.stage.published.drop("*.safetensors")
    scores = [_score(jobs[id(trial)]) if id(trial) in jobs else None for trial in trials]
    _write(run, sweep, trials, scores)
    return with_best(run.settings, run.folder)


def trial_folder(folder: Path, label: str, number: int) -> Path:
    """Where a run keeps a trial's policy."""
    return folder / "sweep" / label / f"trial-{number}"


def read_trials(experiment: Experiment, folder: Path) -> list[FinishedTrial]:
    """The finished trials of this very sweep; none where other settings made them."""
    sweep, place = experiment.sweep, folder / "sweep"
    if sweep is None or not (place / Trials.FILE).is_file():
        return []
    stored = Trials.read(place)
    if stored.sweep != sweep.model_dump(mode="json"):
        return []
    return [
        FinishedTrial(_read_policy(folder, one, sweep.seed), one.number, one.score)
        for one in stored.trials
    ]


def with_best(experiment: Experiment, folder: Path) -> Experiment:
    """The experiment with the methods that the finished trials chose."""
    methods = dict(experiment.methods)
    for label, number in best_trials(read_trials(experiment, folder)).items():
        if experiment.sweep is not None:
            methods[label] = _variants(experiment, experiment.sweep, label)[number]
    return experiment.model_copy(update={"methods": methods})


def best_trials(trials: Sequence[FinishedTrial]) -> dict[str, int]:
    """The number of the best trial of each label; the first where all of them failed."""
    best: dict[str, int] = {}
    scores: dict[str, float] = {}
    for trial in trials:
        label, score = trial.policy.label, trial.score
        known = scores.get(label)
        if label not in best or (score is not None and (known is None or score > known)):
            best[label] = trial.number
            if score is not None:
                scores[label] = score
    return best


def trial_notes(experiment: Experiment, trials: Sequence[FinishedTrial]) -> list[Note]:
    """What a reader must know of how settings were chosen: unequal trials, values at an edge."""
    if experiment.sweep is None or not trials:
        return []
    counts = {label: sum(t.policy.label == label for t in trials) for label in experiment.methods}
    notes = []
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{label} {count}" for label, count in counts.items())
        text = f"Unequal trials: settings were chosen among different numbers ({each})."
        notes.append(Note("fairness", text))
    for label, number in best_trials(trials).items():
        grid = experiment.sweep.grids[label]
        chosen = list(itertools.product(*grid.values()))[number]
        for key, value in zip(grid, chosen, strict=True):
            numbers = [one for one in grid[key] if isinstance(one, int | float)]
            if len(numbers) > 2 and value in (min(numbers), max(numbers)):
                text = (
                    f"The best {key} of {label}, {value:g}, is at the edge of what was tried: a"
                    " better one may lie beyond."
                )
                notes.append(Note("fairness", text))
    return notes


def _trial(
    run: Run[Experiment], sweep: Sweep, dataset: Stage, label: str, number: int, method: Method
) -> Trial:
    folder, shown = trial_folder(run.folder, label, number), f"{label} (trial {number})"
    return Trial(label, number, policy(run, dataset, folder, shown, method, sweep.seed))


def _read_policy(folder: Path, trial: TrialScore, seed: int) -> TrainedPolicy:
    stage = PublishedStage(trial_folder(folder, trial.label, trial.number))
    return read_policy(stage, trial.label, seed)


def _variants(experiment: Experiment, sweep: Sweep, label: str) -> list[Method]:
    return variants(experiment.methods[label], sweep.grids[label])


def _job(run: Run[Experiment], sweep: Sweep, trained: Policy) -> Job:
    problems = run.problems(sweep.problems)
    setup = SamplingSetup(
        prompt=run.settings.prompt,
        sampling=sweep.sampling or run.settings.evaluation.sampling,
        verifier=run.settings.verifier,
        sampler=run.settings.evaluation_sampler,
    )
    inputs = evaluation_inputs(problems, setup, {"policy": trained.stage.published.digest()})
    folder = trained.stage.folder
    stage = Stage(folder.with_name(f"{folder.name}-{_VALIDATION}"), inputs)
    model = run.settings.trained_model(folder)
    return Job(trained.label, sweep.seed, model, _VALIDATION, problems, setup, stage)


def _score(job: Job) -> float:
    evaluation = read_evaluation(job.stage.published)
    return avg_at_k(evaluation.grid["verdict"] == "correct")


def _write(
    run: Run[Experiment], sweep: Sweep, trials: Sequence[Trial], scores: Sequence[float | None]
) -> None:
    scored = [
        TrialScore(label=trial.label, number=trial.number, score=score)
        for trial, score in zip(trials, scores, strict=True)
    ]
    settings = sweep.model_dump(mode="json")
    Trials(sweep=settings, trials=scored).write(run.folder / "sweep")
