"""Every method trained with every seed on the same rollouts; a failure stays its method's own."""

import gc
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from data_gen.cluster import ClusterError, ClusterSettings
from data_gen.cluster.tasks import ClusterCalls, SharedValue, model_on_nodes
from data_gen.demonstrations import demonstrations
from data_gen.prompts import Tokenizer
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.store.rollouts import StoredRollouts
from data_gen.types import DataError, Rollout
from data_gen.views import is_accepted, problem_groups
from offline_rl.artifacts.records import TrainingFailure
from offline_rl.artifacts.stage import Stage
from offline_rl.config.schema import Experiment
from offline_rl.methods import Method
from offline_rl.methods.failure import reason_of
from offline_rl.methods.registry import code_of
from offline_rl.progress import Lines
from offline_rl.settings.training import CHECKPOINTS
from offline_rl.stages.context import Run
from offline_rl.stages.policies import (
    Policy,
    policy,
    policy_folder,
    training_of,
    validation_setup_of,
)


def policies_step(
    run: Run[Experiment],
    dataset: Stage,
    *,
    retry_failed: bool,
    awaited: Callable[[Policy], bool],
) -> list[Policy]:
    """Trains what is not trained yet; `awaited` says whether a policy's weights are needed."""
    policies = policies_of(run, dataset)
    train_policies(run, dataset, policies, retry_failed=retry_failed, awaited=awaited)
    return policies


def policies_of(run: Run[Experiment], dataset: Stage) -> list[Policy]:
    """Every method with every seed, whether it is trained yet or not."""
    return [
        policy(run, dataset, policy_folder(run.folder, label, seed), label, method, seed)
        for label, method in run.settings.methods.items()
        for seed in run.settings.seeds
    ]


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
    rollouts = learnable(run, dataset)
    cluster = run.settings.cluster
    if cluster is not None and cluster.trainings:
        _train_together(run, needed, rollouts, cluster)
        return
    for one in needed:
        with run.work(one.stage) as folder:
            _train(run, one, training_rollouts(run, one.method, rollouts), folder)


def _train_together(
    run: Run[Experiment],
    policies: Sequence[Policy],
    rollouts: StoredRollouts,
    cluster: ClusterSettings,
) -> None:
    """Each policy in a thread of its own, which waits for the node that trains it."""
    beside, stopped = replace(run, progress=Lines(run.progress)), Event()
    lessons: dict[str, SharedValue] = {}

    def train_one(one: Policy, calls: ClusterCalls) -> None:
        with run.work(one.stage) as folder:
            _train(beside, one, lessons[one.method.learns_from], folder, calls)

    with (
        ClusterCalls(cluster, stopped) as calls,
        run.progress.task("train on the cluster", "policies") as task,
        ThreadPoolExecutor(cluster.trainings) as threads,
    ):
        for method in (one.method for one in policies):
            if method.learns_from not in lessons:
                learnt = list(training_rollouts(run, method, rollouts))
                lessons[method.learns_from] = calls.shared(learnt)
        done = [threads.submit(train_one, one, calls) for one in policies]
        try:
            for count, future in enumerate(as_completed(done), 1):
                future.result()
                task.update(count, len(policies))
        except BaseException:
            # Leaving the block waits for the threads.
            stopped.set()
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def learnable(run: Run[Experiment], stage: Stage) -> StoredRollouts:
    """The rollouts of the data set. Raises DataError where none of them is accepted."""
    rollouts = StoredRollouts(stage.folder)
    min_reward = run.settings.selection.min_reward
    if not any(is_accepted(rollout, min_reward) for rollout in rollouts):
        raise DataError(
            f"none of the {sum(1 for _ in rollouts)} rollouts in {stage.folder} is accepted: sample"
            " more, take easier problems, or check the prompt and the verifier"
        )
    return rollouts


def training_rollouts(
    run: Run[Experiment],
    method: Method,
    rollouts: Iterable[Rollout],
    tokenizer: Tokenizer | None = None,
) -> Iterable[Rollout]:
    """What a method learns from: the rollouts, or the solutions of their problems.

    The tokenizer of the base is loaded where it is needed and not given.
    """
    settings = run.settings
    if method.learns_from == settings.learn_from or settings.learn_from == "demonstrations":
        return rollouts
    tokenizer = tokenizer or load_tokenizer(settings.base_model)
    return _Solutions(rollouts, tokenizer, settings.prompt)


@dataclass(frozen=True)
class _Solutions:
    """The solutions of the rollouts' problems as rollouts, made again by each pass."""

    rollouts: Iterable[Rollout]
    tokenizer: Tokenizer
    style: str

    def __iter__(self) -> Iterator[Rollout]:
        problems = (group[0].problem for group in problem_groups(self.rollouts))
        return demonstrations(problems, tokenizer=self.tokenizer, style=self.style)


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
    if policy.stage.published.has_dropped() and awaited(policy):
        run.progress.say(f"{name}: trained again, its weights were not kept and are needed")
        return True
    damage = policy.stage.published.damage(weights=True) if awaited(policy) else None
    if damage is not None:
        run.progress.say(f"{name}: trained again, since {damage}")
    return damage is not None


def _train(
    run: Run[Experiment],
    policy: Policy,
    rollouts: Iterable[Rollout] | SharedValue,
    folder: Path,
    calls: ClusterCalls | None = None,
) -> None:
    """Trains here, or on the cluster by `calls`, which share the `rollouts`."""
    import torch

    from offline_rl.training.launch import launch_training
    from offline_rl.training.train import train

    experiment, method = run.settings, policy.method
    code = code_of(method)
    training = training_of(experiment, method)
    base = experiment.base_model
    work: Callable[..., object] = partial(
        train if training.launch is None else partial(launch_training, training.launch),
        model=base if calls is None else model_on_nodes(base),
        training=training,
        selection=experiment.selection,
        seed=policy.training_seed,
        setup=None
        if training.validation is None
        else validation_setup_of(experiment, training.validation),
    )
    title = f"train {policy.label}, seed {policy.training_seed}"
    try:
        with run.progress.task(title, "steps") as task:
            if calls is not None:
                on_any_node = partial(on_node, work, code)
                calls(on_any_node, method, rollouts, folder.resolve())
            else:
                work(
                    method,
                    rollouts,
                    folder,
                    on_log=lambda step, steps, values: task.update(step, steps, _note(values)),
                )
    except ClusterError:
        raise
    # A full disk, for one, is no method's own fault.
    except OSError:
        raise
    except Exception as error:
        reason = reason_of(error, method)
        run.progress.say(f"{title}: failed: {reason}")
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        TrainingFailure(reason=reason, code=code).write(folder)
    finally:
        # One GPU serves sampling too, which wants this memory back.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def on_node(
    work: Callable[..., object], code: Mapping[str, str], method: Method, *arguments: Any
) -> None:
    """`work(method, ...)` on a node that has the method of the run, by its recorded `code`.

    Raises RuntimeError for another.
    """
    here, there = (" ".join(one.values()) or "none" for one in (code_of(method), code))
    if here != there:
        raise RuntimeError(f"a node has another {method.kind}: {here}; the run's is {there}")
    work(method, *arguments)


def _note(values: dict[str, float]) -> str:
    nll = values.get("accepted_nll")
    return "" if nll is None else f"accepted NLL {nll:.3f}"
