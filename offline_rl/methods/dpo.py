"""Direct preference optimisation on pairs of an accepted and a wrong rollout of one problem."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from losses import dpo_loss, sequence_logps
from offline_rl.batch import Batch
from offline_rl.methods.base import Requires
from offline_rl.methods.families import BETA, DPO_TRAINING, Preference, margin_metrics, sides
from offline_rl.settings.training import TrainingSettings


class Dpo(Preference):
    """Mean over pairs of `-log sigmoid(beta * margin)` (arXiv 2305.18290).

    The margin is the chosen log-ratio less the rejected one, policy against the base model.
    """

    kind: Literal["dpo"] = "dpo"
    beta: float = BETA

    requires: ClassVar[Requires] = Requires(reference=True)
    training_defaults: ClassVar[TrainingSettings] = DPO_TRAINING
    start_values: ClassVar[Mapping[str, float]] = {"pair_loss": math.log(2)}

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        chosen, rejected = _log_ratios(logps, batch)
        return dpo_loss(chosen, rejected, beta=self.beta)

    def metrics(self, logps: Tensor, batch: Batch) -> dict[str, Tensor]:
        chosen, rejected = _log_ratios(logps, batch)
        return {
            "chosen_log_ratio": chosen,
            "rejected_log_ratio": rejected,
            **margin_metrics(self.loss(logps, batch), chosen, rejected),
        }


def _log_ratios(logps: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    return sides(sequence_logps(logps - batch.reference(), batch.mask))
