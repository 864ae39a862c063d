"""A method trained with a seed: where it lies in a run's folder, and all that it depends on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline_rl.artifacts.checksums import problems_digest
from offline_rl.artifacts.provenance import TRAINING_PACKAGES, versions
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.artifacts.records import TrainedPolicy, TrainingFailure, TrainingReport
from offline_rl.artifacts.stage import Stage
from offline_rl.config.schema import Experiment
from offline_rl.methods import Method
from offline_rl.methods.registry import code_of
from offline_rl.settings.training import TrainingSettings, resolve_training
from offline_rl.settings.validation import Validation, ValidationSetup
from offline_rl.stages.context import Run


@dataclass(frozen=True)
class Policy:
    """One method trained with one seed, on disk."""

    label: str
    training_seed: int
    method: Method
    stage: Stage

    @property
    def failure(self) -> str | None:
        """Why there is no model, or None where there is one."""
        return failure_of(self.stage.published)


def policy_folder(folder: Path, label: str, seed: int) -> Path:
    """Where a run keeps a trained policy."""
    return folder / "models" / label / f"seed-{seed}"


def failure_of(stage: PublishedStage) -> str | None:
    """Why a policy's stage holds no model, or None where it holds one."""
    return stage.read(TrainingFailure).reason if stage.holds(TrainingFailure) else None


def read_policy(stage: PublishedStage, label: str, seed: int) -> TrainedPolicy:
    """What became of a policy, as its finished stage says."""
    if stage.holds(TrainingFailure):
        return TrainedPolicy(label, seed, stage.read(TrainingFailure))
    return TrainedPolicy(label, seed, stage.read(TrainingReport))


def policy(
    run: Run[Experiment], dataset: Stage, folder: Path, label: str, method: Method, seed: int
) -> Policy:
    """A method trained with a seed on a data set, whether it is done yet or not."""
    inputs = {
        **policy_settings(run.settings, method),
        **_validated(run, method),
        "code": code_of(method),
        "seed": seed,
        "dataset": dataset.published.digest(),
        "base": run.base,
        "versions": versions(TRAINING_PACKAGES),
    }
    return Policy(label, seed, method, Stage(folder, inputs, uncounted=(TrainingReport.FILE,)))


def policy_settings(experiment: Experiment, method: Method) -> dict[str, Any]:
    """The settings that a trained policy depends on."""
    return {
        "method": method.model_dump(mode="json", exclude={"training"}),
        "training": training_of(experiment, method).of_weights(),
        "selection": method.reads(experiment.selection),
    }


def training_of(experiment: Experiment, method: Method) -> TrainingSettings:
    """The settings that a method is trained with."""
    return resolve_training(method.training_defaults, experiment.training, method.training)


def validation_setup_of(experiment: Experiment, validation: Validation) -> ValidationSetup:
    """How a policy in training is asked validation problems, and who judges it."""
    return ValidationSetup(
        prompt=experiment.prompt,
        sampling=validation.sampling or experiment.evaluation.sampling,
        verifier=experiment.verifier,
    )


def _validated(run: Run[Experiment], method: Method) -> dict[str, Any]:
    """What the weights depend on where they are chosen on validation problems."""
    validation = training_of(run.settings, method).validation
    if validation is None:
        return {}
    problems = run.problems(validation.problems)
    setup = validation_setup_of(run.settings, validation)
    return {
        "validation_problems": problems_digest(problems, solutions=False),
        "setup": {**setup.model_dump(mode="json"), "verifier": setup.verifier.description},
    }
