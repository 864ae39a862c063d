"""Identity preference optimisation on pairs of an accepted and a wrong rollout."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from losses import ipo_loss, mean_logps
from offline_rl.batch import Batch
from offline_rl.methods.base import Requires
from offline_rl.methods.families import BETA, DPO_TRAINING, Preference, margin_metrics, sides
from offline_rl.settings.training import TrainingSettings


class Ipo(Preference):
    """Mean over pairs of `(margin - 1 / (2 beta))^2` (arXiv 2310.12036, beta being its tau).

    The margin is the chosen log-ratio of policy to base model less the rejected one, each a mean
    over the completion's tokens: the paper writes sums, its authors' experiments and TRL take
    means. Training settings are those of dpo.
    """

    kind: Literal["ipo"] = "ipo"
    beta: float = BETA

    requires: ClassVar[Requires] = Requires(reference=True)
    training_defaults: ClassVar[TrainingSettings] = DPO_TRAINING
    start_values: ClassVar[Mapping[str, float]] = {"margin": 0.0}

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        chosen, rejected = _mean_log_ratios(logps, batch)
        return ipo_loss(chosen, rejected, beta=self.beta)

    def metrics(self, logps: Tensor, batch: Batch) -> dict[str, Tensor]:
        return margin_metrics(self.loss(logps, batch), *_mean_log_ratios(logps, batch))


def _mean_log_ratios(logps: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    return sides(mean_logps(logps - batch.reference(), batch.mask))
