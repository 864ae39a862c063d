"""Asymmetric REINFORCE: likelihood up or down by reward, with a baseline below the mean."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from data_gen.selection import Selection
from data_gen.types import Rollout
from data_gen.views import Example
from losses import asymre_loss
from offline_rl.batch import Batch
from offline_rl.methods.families import Baselined, mean_reward
from offline_rl.settings.training import TrainingSettings


class Asymre(Baselined):
    """Mean of `-(reward - V) log p` over the tokens of accepted and wrong rollouts (2506.20520).

    V is the mean reward of the problem's verified rollouts in the data set (identical ones count
    each) plus `offset`. At an offset of 0 or more the policy collapses, which is why it must be
    less. The paper sums over a completion's tokens; here every token weighs the same. The
    learning rate is chosen here.
    """

    kind: Literal["asymre"] = "asymre"
    offset: float = Field(
        default=-0.1, lt=0, allow_inf_nan=False, description="baseline less mean reward"
    )

    training_defaults: ClassVar[TrainingSettings] = TrainingSettings(lr=1e-5)

    def signals(
        self, example: Example, group: Sequence[Rollout], selection: Selection
    ) -> tuple[float, ...]:
        baseline = mean_reward(group, selection) + self.offset
        return tuple(rollout.reward - baseline for rollout in example)

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        return asymre_loss(logps, batch.signals)
