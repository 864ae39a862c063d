"""Proximal SFT: imitation that stops once the policy has moved away from where it was."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from losses import proximal_loss
from offline_rl.batch import Batch
from offline_rl.methods.base import Requires
from offline_rl.methods.families import Clip, Imitation
from offline_rl.settings.training import TrainingSettings


class Psft(Imitation):
    """Mean of `-min(r, clip(r))` over the accepted rollouts' tokens (arXiv 2508.17784).

    `r` is a token's probability over that under the policy as it was at most `lag_steps` optimiser
    steps before. With `lag_steps` 1 it is always 1 and the method is rft: the clip then does
    nothing. The defaults are those of the paper's code: 8 updates for each old policy (batches of
    256 cut into 32), which here are 8 whole steps; rate 1e-6, weight decay 0.1. The second clip
    of that code, which advantages of 1 never reach, is left out.
    """

    kind: Literal["psft"] = "psft"
    clip: Clip = Field(default=(0.8, 1.28), description="bounds of the ratio")
    lag_steps: int = Field(default=8, ge=1, description="steps between refreshes of the old policy")

    training_defaults: ClassVar[TrainingSettings] = TrainingSettings(lr=1e-6, weight_decay=0.1)

    @property
    def requires(self) -> Requires:
        return Requires(lag_steps=self.lag_steps)

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        return proximal_loss(logps, batch.lagged(), clip=self.clip) * batch.mask

    def metrics(self, logps: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The ratio of every trained token, and whether it lies above the clip."""
        ratio = (logps - batch.lagged()).exp()[batch.mask > 0]
        return {"ratio": ratio, "ratio_clipped_share": (ratio > self.clip[1]).to(ratio.dtype)}
