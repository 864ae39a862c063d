"""Whether any method finds something to learn from, asked before hours of sampling for nothing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.store.rollouts import iterate_rollouts
from data_gen.types import DataError, Rollout
from data_gen.views import is_accepted, problem_groups
from offline_rl.artifacts.checksums import DamagedArtifact
from offline_rl.artifacts.stage import Stage
from offline_rl.config.schema import Experiment
from offline_rl.config.sweep_settings import candidates
from offline_rl.methods import Method
from offline_rl.stages.context import Run
from offline_rl.stages.policies import Policy, training_of
from offline_rl.stages.run_sweep import with_best
from offline_rl.stages.train_policies import learnable, policies_of, training_rollouts


def check_learnable(run: Run[Experiment], dataset: Stage, *, retry_failed: bool) -> None:
    """Raises DataError where no method has an example to learn from, and some are not trained.

    Where one has, the first such problem of the data set is the last that is read.
    """
    policies = best_policies(run, dataset)
    if _settled(policies, retry_failed, Stage.finished) or _is_soon_found(run, dataset):
        return
    if _settled(policies, retry_failed, run.finished):
        return
    rollouts = learnable(run, dataset)
    reasons: dict[str, list[str]] = {}
    for label, method in candidates(run.settings.methods, run.settings.sweep):
        reason = _reason(run, method, training_rollouts(run, method, rollouts))
        if reason is None:
            return
        labels = reasons.setdefault(reason, [])
        if label not in labels:
            labels.append(label)
    listed = "; ".join(f"{', '.join(labels)}: {reason}" for reason, labels in reasons.items())
    raise DataError(f"no method finds an example to learn from: {listed}")


def best_policies(run: Run[Experiment], dataset: Stage) -> list[Policy]:
    """The policies to be trained, as far as a sweep has chosen their settings."""
    try:
        settings = with_best(run.settings, run.folder)
    # The sweep itself writes damaged trials again.
    except DamagedArtifact:
        settings = run.settings
    return policies_of(replace(run, settings=settings), dataset)


def _settled(
    policies: Sequence[Policy], retry_failed: bool, finished_stage: Callable[[Stage], bool]
) -> bool:
    """Whether a policy is trained, or all have failed and are not tried again."""
    finished = [one for one in policies if finished_stage(one.stage)]
    if any(one.failure is None for one in finished):
        return True
    return len(finished) == len(policies) and not retry_failed


def _is_soon_found(run: Run[Experiment], dataset: Stage) -> bool:
    """Whether the rollouts of some problem by themselves teach a method, and one is accepted."""
    settings = run.settings
    methods = [method for _, method in candidates(settings.methods, settings.sweep)]
    shown = any(method.learns_from != settings.learn_from for method in methods)
    tokenizer = load_tokenizer(settings.base_model) if shown else None
    teaches, accepts = False, False
    for group in problem_groups(iterate_rollouts(dataset.folder, untrusted=False)):
        accepts = accepts or any(
            is_accepted(rollout, settings.selection.min_reward) for rollout in group
        )
        teaches = teaches or any(
            _reason(run, method, training_rollouts(run, method, group, tokenizer)) is None
            for method in methods
        )
        if teaches and accepts:
            return True
    return False


def _reason(run: Run[Experiment], method: Method, rollouts: Iterable[Rollout]) -> str | None:
    """Why a method learns nothing from rollouts with any of the seeds; None where it does."""
    from offline_rl.training.train import prepare

    settings = run.settings
    max_tokens = training_of(settings, method).max_tokens
    reason = ""
    for seed in settings.seeds:
        try:
            prepare(method, rollouts, settings.selection, seed, max_tokens)
        except DataError as error:
            reason = reason or str(error)
        except OSError:
            raise
        # Anything else is for the training to tell as the method's own failure.
        except Exception:
            return None
        else:
            return None
    return reason
