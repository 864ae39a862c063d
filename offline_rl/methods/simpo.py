"""Simple preference optimisation: pairs, without a reference model."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from losses import mean_logps, simpo_loss
from offline_rl.batch import Batch
from offline_rl.methods.families import Preference, margin_metrics, sides
from offline_rl.settings.training import TrainingSettings


class Simpo(Preference):
    """Mean over pairs of `-log sigmoid(beta * margin - gamma)` (arXiv 2405.14734).

    The margin is the chosen completion's mean log-probability per token less the rejected one's.
    beta 2 and half of it as gamma are the paper's; its learning rates are 3e-7 to 1e-6.
    """

    kind: Literal["simpo"] = "simpo"
    beta: float = Field(default=2.0, gt=0, allow_inf_nan=False, description="scale of the margin")
    gamma: float = Field(
        default=1.0, ge=0, allow_inf_nan=False, description="target of the scaled margin"
    )

    training_defaults: ClassVar[TrainingSettings] = TrainingSettings(lr=1e-6, examples_per_step=128)

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        chosen, rejected = sides(mean_logps(logps, batch.mask))
        return simpo_loss(chosen, rejected, beta=self.beta, gamma=self.gamma)

    def metrics(self, logps: Tensor, batch: Batch) -> dict[str, Tensor]:
        return margin_metrics(self.loss(logps, batch), *sides(mean_logps(logps, batch.mask)))
