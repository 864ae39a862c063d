"""Dynamic fine-tuning: imitate accepted rollouts, each token weighted by its own probability."""

from typing import Literal

from torch import Tensor

from losses import dft_loss
from offline_rl.batch import Batch
from offline_rl.methods.families import Imitation


class Dft(Imitation):
    """Mean of `-sg(p) log p` over the accepted rollouts' tokens (arXiv 2508.05629)."""

    kind: Literal["dft"] = "dft"

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        return dft_loss(logps)
