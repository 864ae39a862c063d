"""Supervised fine-tuning: imitate the problems' own solutions."""

from typing import ClassVar, Literal

from torch import Tensor

from losses import nll_loss
from offline_rl.batch import Batch
from offline_rl.methods.families import Imitation


class Sft(Imitation):
    """Mean negative log-likelihood of the gold solutions' tokens, whatever the others learn from.

    The reference row of arXiv 2508.05629. Solutions are no samples of the policy: their tokens are
    those of the text, and problems without a solution are left out.
    """

    kind: Literal["sft"] = "sft"

    wants: ClassVar[str] = "demonstration"
    learns_from: ClassVar[Literal["rollouts", "demonstrations"]] = "demonstrations"

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        return nll_loss(logps)
