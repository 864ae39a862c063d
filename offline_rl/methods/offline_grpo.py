"""Offline GRPO: the group-relative policy gradient, on fixed rollouts."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor

from data_gen.selection import Selection
from data_gen.types import Rollout
from data_gen.views import Example
from losses import offline_grpo_loss
from offline_rl.batch import Batch
from offline_rl.methods.families import Baselined, mean_reward, verified
from offline_rl.settings.training import TrainingSettings


class OfflineGrpo(Baselined):
    """Mean of `-sg(p) A log p` over the tokens of accepted and wrong rollouts.

    A is the reward less the mean reward of the problem's verified rollouts in the data set
    (identical ones count each). The weight is the token's own probability, as of one ratio to a
    behaviour policy that is taken as 1; as in Dr. GRPO (arXiv 2503.20783) A is not divided by the
    group's deviation, and there is neither clip nor divergence term. Problems whose rollouts all
    have one reward teach nothing and are left out. The learning rate is chosen here.
    """

    kind: Literal["offline_grpo"] = "offline_grpo"

    wants: ClassVar[str] = "problem with both accepted and wrong rollouts"
    training_defaults: ClassVar[TrainingSettings] = TrainingSettings(lr=1e-5)

    def examples(
        self, group: Sequence[Rollout], selection: Selection, seed: int
    ) -> Sequence[Example]:
        rewards = {rollout.reward for rollout in verified(group, selection, unique=False)}
        return super().examples(group, selection, seed) if len(rewards) > 1 else []

    def signals(
        self, example: Example, group: Sequence[Rollout], selection: Selection
    ) -> tuple[float, ...]:
        baseline = mean_reward(group, selection)
        return tuple(rollout.reward - baseline for rollout in example)

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        return offline_grpo_loss(logps, batch.signals)
