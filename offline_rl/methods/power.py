"""The power family between imitation and its own probability: from rft to dft and beyond."""

from typing import Literal

from pydantic import Field
from torch import Tensor

from losses import power_loss
from offline_rl.batch import Batch
from offline_rl.methods.families import Imitation


class Power(Imitation):
    """Mean of `(1 - p^alpha) / alpha` over the accepted rollouts' tokens (arXiv 2510.00526).

    alpha near 0 is rft, alpha 1 is dft; larger ones learn from likely tokens alone. The paper finds
    larger alphas better where the base knows the domain; the default lies halfway.
    """

    kind: Literal["power"] = "power"
    alpha: float = Field(
        default=0.5, gt=0, allow_inf_nan=False, description="near 0: as rft; 1: as dft"
    )

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        return power_loss(logps, alpha=self.alpha)
