"""Rejection-sampling fine-tuning: imitate the accepted rollouts."""

from typing import Literal

from torch import Tensor

from losses import nll_loss
from offline_rl.batch import Batch
from offline_rl.methods.families import Imitation


class Rft(Imitation):
    """Mean negative log-likelihood of the accepted rollouts' tokens (arXiv 2308.01825).

    Every accepted rollout is kept once; the paper also asks for distinct reasoning paths.
    """

    kind: Literal["rft"] = "rft"

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        return nll_loss(logps)
