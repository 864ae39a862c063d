"""Gives every method of a comparison as many steps, tokens or examples as the others."""

from pathlib import Path
from typing import Any

from data_gen.store.rollouts import StoredRollouts
from data_gen.types import DataError
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.artifacts.records import MeasuredBudget
from offline_rl.artifacts.stage import Stage
from offline_rl.config.schema import Budget, Experiment
from offline_rl.methods import Method
from offline_rl.methods.failure import reason_of
from offline_rl.methods.registry import code_of
from offline_rl.settings.training import LENGTHS, TrainingSettings, resolve_training
from offline_rl.stages.context import Run
from offline_rl.stages.policies import policy_settings
from offline_rl.stages.train_policies import training_rollouts

_KEYS = {"steps": "steps", "examples": "total_examples", "tokens": "total_tokens"}


def budget_step(run: Run[Experiment], dataset: Stage) -> Experiment:
    """The experiment with the budget in every method's settings; the same without a budget.

    Without an amount it is what the first method takes by its own settings.
    """
    budget = run.settings.budget
    if budget is None:
        return run.settings
    if budget.amount is None:
        method = next(iter(run.settings.methods.values()))
        inputs = {
            "dataset": dataset.published.digest(),
            "match": budget.match,
            "seed": run.settings.seeds[0],
            "code": code_of(method),
            **policy_settings(run.settings, method),
        }
        stage = Stage(_folder(run.folder), inputs)
        if run.is_needed(stage):
            with run.work(stage) as folder:
                amount = _taken(run, dataset, method, budget)
                MeasuredBudget(amount=amount).write(folder)
    return with_budget(run.settings, run.folder)


def with_budget(experiment: Experiment, folder: Path) -> Experiment:
    """The experiment with a budget that is given or has been measured."""
    budget = experiment.budget
    if budget is None:
        return experiment
    amount = budget.amount
    measured = PublishedStage(_folder(folder))
    if amount is None and measured.holds(MeasuredBudget):
        amount = measured.read(MeasuredBudget).amount
    if amount is None:
        return experiment
    methods = {
        label: _limited(method, budget, amount) for label, method in experiment.methods.items()
    }
    training = _without_lengths(experiment.training)
    return experiment.model_copy(update={"methods": methods, "training": training})


def _folder(folder: Path) -> Path:
    return folder / "budget"


def _taken(run: Run[Experiment], dataset: Stage, method: Method, budget: Budget) -> int:
    """What a method takes by its own settings."""
    from offline_rl.training.train import prepare

    settings = run.settings
    training = resolve_training(method.training_defaults, settings.training, method.training)
    rollouts = training_rollouts(run, method, StoredRollouts(dataset.folder))
    seed = settings.seeds[0]
    try:
        examples, _ = prepare(method, rollouts, settings.selection, seed, training.max_tokens)
    except (DataError, OSError):
        raise
    except Exception as error:
        reason = reason_of(error, method)
        raise DataError(f"budget: {method.kind}, which comes first, fails: {reason}") from error
    tokens = sum(row.trained_tokens for example in examples for row in example)
    steps = training.total_steps(len(examples), tokens)
    seen = training.examples_seen(steps, len(examples))
    return {"steps": steps, "examples": seen, "tokens": round(seen * tokens / len(examples))}[
        budget.match
    ]


def _limited(method: Method, budget: Budget, amount: int) -> Any:
    training = _without_lengths(method.training).written() | {_KEYS[budget.match]: amount}
    return method.model_copy(update={"training": TrainingSettings.model_validate(training)})


def _without_lengths(training: TrainingSettings) -> TrainingSettings:
    kept = {key: value for key, value in training.written().items() if key not in LENGTHS}
    return TrainingSettings.model_validate(kept)
