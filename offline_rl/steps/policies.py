"""Every method trained with every seed on the same rollouts; a failure stays its method's own."""

import gc
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from data_gen.cluster import ClusterSettings
from data_gen.demonstrations import demonstrations
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.storage import load_rollouts
from data_gen.types import DataError, Rollout
from data_gen.views import accepted
from offline_rl.config import Experiment
from offline_rl.environment import TRAINING_PACKAGES, versions
from offline_rl.methods import Method
from offline_rl.progress import Lines
from offline_rl.stages import Stage, digest, read_published
from offline_rl.steps.context import Run
from offline_rl.training_settings import (
    CHECKPOINTS,
    NO_MATTER_TO_WEIGHTS,
    TrainingSettings,
    resolve_training,
)
from offline_rl.validation_settings import Exam, Validation

REPORT = "training.json"
FAILURE = "failure.json"


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
        return read_failure(self.stage.folder)


def policy_folder(folder: Path, label: str, seed: int) -> Path:
    """Where a run keeps a trained policy."""
    return folder / "models" / label / f"seed-{seed}"


def read_failure(folder: Path) -> str | None:
    """Why a policy's folder holds no model, or None where it holds one."""
    if not (folder / FAILURE).exists():
        return None
    return str(read_published(folder, FAILURE)["reason"])


def read_record(folder: Path, label: str, seed: int) -> dict[str, Any]:
    """What the report's training table is made of."""
    about: dict[str, Any] = {"label": label, "training_seed": seed}
    failure = read_failure(folder)
    if failure is not None:
        return {**about, "failure": failure}
    return {**about, "report": read_published(folder, REPORT)}


def policies_step(
    run: Run[Experiment],
    dataset: Stage,
    *,
    retry_failed: bool,
    awaited: Callable[[Policy], bool],
) -> list[Policy]:
    """Trains what is not trained yet; `awaited` says whether a policy's weights are needed."""
    policies = [
        policy(run, dataset, policy_folder(run.folder, label, seed), label, method, seed)
        for label, method in run.settings.methods.items()
        for seed in run.settings.seeds
    ]
    train_policies(run, dataset, policies, retry_failed=retry_failed, awaited=awaited)
    return policies


def policy(
    run: Run[Experiment], dataset: Stage, folder: Path, label: str, method: Method, seed: int
) -> Policy:
    """A method trained with a seed on a data set, whether it is done yet or not."""
    inputs = {
        **policy_settings(run.settings, method),
        **_validated(run, method),
        "seed": seed,
        "dataset": dataset.digest(),
        "base": run.base,
        "versions": versions(TRAINING_PACKAGES),
    }
    return Policy(label, seed, method, Stage(folder, inputs, beside=(REPORT,)))


def train_policies(
    run: Run[Experiment],
    dataset: Stage,
    policies: Sequence[Policy],
    *,
    retry_failed: bool,
    awaited: Callable[[Policy], bool],
) -> None:
    """Trains those that are not trained yet, in their order, or several at once on a cluster."""
    needed = [one for one in policies if _is_needed(run, one, retry_failed, awaited)]
    if not needed:
        return
    rollouts = _learnable(run, dataset)
    cluster = run.settings.cluster
    if cluster is not None and cluster.trainings:
        _train_together(run, needed, rollouts, cluster)
        return
    for one in needed:
        with one.stage.work() as folder:
            _train(run, one, taught(run, one.method, rollouts), folder)


def _train_together(
    run: Run[Experiment],
    policies: Sequence[Policy],
    rollouts: list[Rollout],
    cluster: ClusterSettings,
) -> None:
    """Each policy in a thread of its own, which waits for the node that trains it."""
    beside = replace(run, progress=Lines(run.progress))

    def train_one(one: Policy) -> None:
        with one.stage.work() as folder:
            _train(beside, one, taught(run, one.method, rollouts), folder)

    with (
        run.progress.task("train on the cluster, policies") as task,
        ThreadPoolExecutor(cluster.trainings) as threads,
    ):
        done = [threads.submit(train_one, one) for one in policies]
        try:
            for count, future in enumerate(as_completed(done), 1):
                future.result()
                task.update(count, len(policies))
        except BaseException:
            # Those that have not begun stay undone; those at work end with their nodes.
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _learnable(run: Run[Experiment], stage: Stage) -> list[Rollout]:
    rollouts = load_rollouts(stage.folder)
    if not accepted(rollouts, min_reward=run.settings.selection.min_reward):
        raise DataError(
            f"none of the {len(rollouts)} rollouts in {stage.folder} is accepted: sample more, take"
            " easier problems, or check the prompt and the verifier"
        )
    return rollouts


def taught(run: Run[Experiment], method: Method, rollouts: list[Rollout]) -> list[Rollout]:
    """What a method learns from: the rollouts, or the solutions of their problems."""
    settings = run.settings
    if method.learns_from == settings.learn_from or settings.learn_from == "demonstrations":
        return rollouts
    problems = {rollout.problem.id: rollout.problem for rollout in rollouts}.values()
    tokenizer = load_tokenizer(settings.model_path, settings.revision)
    return list(demonstrations(problems, tokenizer=tokenizer, style=settings.prompt))


def _is_needed(
    run: Run[Experiment], policy: Policy, retry_failed: bool, awaited: Callable[[Policy], bool]
) -> bool:
    if run.is_needed(policy.stage):
        return True
    name = policy.stage.folder.relative_to(run.folder)
    if policy.failure is not None:
        if retry_failed:
            run.progress.say(f"{name}: tried again after {policy.failure}")
        return retry_failed
    if policy.stage.dropped() and awaited(policy):
        run.progress.say(f"{name}: trained again, its weights were not kept and are needed")
        return True
    damage = policy.stage.damage(weights=True) if awaited(policy) else None
    if damage is not None:
        run.progress.say(f"{name}: trained again, since {damage}")
    return damage is not None


def policy_settings(experiment: Experiment, method: Method) -> dict[str, Any]:
    """The settings that a trained policy depends on."""
    training = _training(experiment, method).resolved()
    return {
        "method": method.model_dump(mode="json", exclude={"training"}),
        "training": {k: v for k, v in training.items() if k not in NO_MATTER_TO_WEIGHTS},
        "selection": method.reads(experiment.selection),
    }


def _training(experiment: Experiment, method: Method) -> TrainingSettings:
    return resolve_training(method.training_defaults, experiment.training, method.training)


def validation_of(experiment: Experiment, method: Method) -> Validation | None:
    """The validation problems that a method's training is to be stopped by."""
    return _training(experiment, method).validation


def _exam(experiment: Experiment, validation: Validation) -> Exam:
    return Exam(
        prompt=experiment.prompt,
        sampling=validation.sampling or experiment.evaluation.sampling,
        verifier=experiment.verifier,
    )


def _validated(run: Run[Experiment], method: Method) -> dict[str, Any]:
    """What the weights depend on where they are chosen on validation problems."""
    validation = validation_of(run.settings, method)
    if validation is None:
        return {}
    problems = run.problems(validation.problems)
    exam = _exam(run.settings, validation)
    return {
        "validation_problems": digest([[p.id, p.prompt, p.answer] for p in problems]),
        "exam": {**exam.model_dump(mode="json"), "verifier": exam.verifier.description},
    }


def _train(run: Run[Experiment], policy: Policy, rollouts: list[Rollout], folder: Path) -> None:
    import torch

    from offline_rl.launching import launch_training
    from offline_rl.training import train

    experiment, method = run.settings, policy.method
    training = _training(experiment, method)
    there = train if training.launch is None else partial(launch_training, training.launch)
    title = f"train {policy.label}, seed {policy.training_seed}"
    told: dict[str, Any] = {
        "model": experiment.model_path,
        "revision": experiment.revision,
        "training": training,
        "selection": experiment.selection,
        "seed": policy.training_seed,
        "exam": None if training.validation is None else _exam(experiment, training.validation),
    }
    try:
        with run.progress.task(title) as task:
            if experiment.cluster is not None and experiment.cluster.trainings:
                from data_gen.cluster.tasks import call_on_cluster, seen_from_anywhere

                told["model"] = seen_from_anywhere(experiment.model_path)
                call_on_cluster(
                    experiment.cluster, there, method, rollouts, folder.resolve(), **told
                )
            else:
                there(
                    method,
                    rollouts,
                    folder,
                    on_log=lambda step, steps, values: task.update(step, steps, _note(values)),
                    **told,
                )
    # Out of memory is a RuntimeError of torch, settings that a library refuses a ValueError; an
    # OSError, such as a full disk, is no method's own fault.
    except (RuntimeError, ValueError, ImportError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        run.progress.say(f"{title}: failed: {reason}")
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        (folder / FAILURE).write_text(json.dumps({"reason": reason}) + "\n", encoding="utf-8")
    finally:
        # One GPU serves sampling too, which wants this memory back.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _note(values: dict[str, float]) -> str:
    nll = values.get("accepted_nll")
    return "" if nll is None else f"accepted NLL {nll:.3f}"
