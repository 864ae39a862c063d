"""Anchored SFT: dynamic fine-tuning that is held near the base model."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from losses import anchored_loss, dft_loss
from offline_rl.batch import Batch
from offline_rl.methods.base import Requires
from offline_rl.methods.families import Imitation
from offline_rl.settings.training import TrainingSettings


class Asft(Imitation):
    """Mean of `-sg(p) log p + kl_weight * KL(base || policy)` over accepted tokens (2509.23753).

    The divergence is taken over the whole vocabulary at every trained token, against the untrained
    base, whose weights the trainer keeps beside the policy's (of adapters only their own). The
    paper's weight is 0.1, that of its code's examples 0.05.
    """

    kind: Literal["asft"] = "asft"
    kl_weight: float = Field(
        default=0.1, ge=0, allow_inf_nan=False, description="of the divergence from the base"
    )

    training_defaults: ClassVar[TrainingSettings] = TrainingSettings(lr=2e-5)

    @property
    def requires(self) -> Requires:
        return Requires(base_kl=self.kl_weight > 0)

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        if not self.requires.base_kl:
            return dft_loss(logps)
        return anchored_loss(logps, batch.divergence(), kl_weight=self.kl_weight)

    def metrics(self, logps: Tensor, batch: Batch) -> dict[str, Tensor]:
        if not self.requires.base_kl:
            return {}
        return {"base_divergence": batch.divergence()[batch.mask > 0]}
