"""Reward-informed fine-tuning: accepted rollouts up, wrong ones down by a bounded loss."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from losses import rift_loss
from offline_rl.batch import Batch
from offline_rl.methods.families import Graded
from offline_rl.settings.training import TrainingSettings


class Rift(Graded):
    """Mean over tokens of `-log p` if accepted, else `penalty * p` (arXiv 2601.09253).

    The probability is each token's own: that of a whole completion, as the paper writes it, is 0
    in floating point after some hundred tokens. An accepted rollout has the reward 1 and a wrong
    one `-penalty`, which is chosen here as the learning rate is: with most rollouts wrong, a
    penalty of 1 unlearns more than it teaches.
    """

    kind: Literal["rift"] = "rift"
    penalty: float = Field(
        default=0.1, gt=0, allow_inf_nan=False, description="weight of wrong rollouts' probability"
    )

    training_defaults: ClassVar[TrainingSettings] = TrainingSettings(lr=1e-5)

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        return rift_loss(logps, batch.accepted, penalty=self.penalty) * batch.mask
