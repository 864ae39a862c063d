"""Importance-weighted SFT: imitate accepted rollouts, weighted by policy over reference."""

from collections.abc import Mapping
from typing import ClassVar, Literal, TypedDict

from pydantic import Field
from torch import Tensor

from losses import importance_weights, iw_sft_loss
from offline_rl.batch import Batch
from offline_rl.methods.base import Requires
from offline_rl.methods.families import Clip, Imitation
from offline_rl.settings.training import TrainingSettings


class _Weighting(TypedDict):
    level: Literal["sequence", "token"]
    temperature: float
    clip: tuple[float, float]


class IwSft(Imitation):
    """Mean of `-sg(w) log p` over the accepted rollouts' tokens (arXiv 2507.12856).

    `w` compares the policy with the base model it started from. At the sequence level it is the
    exponential of the mean log-ratio over the completion: the exponential of the sum collapses to
    0 or to the clip on long completions.
    """

    kind: Literal["iw_sft"] = "iw_sft"
    level: Literal["sequence", "token"] = Field(
        default="sequence", description="one weight per completion, or one per token"
    )
    temperature: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="log-ratios are divided by it"
    )
    clip: Clip | None = Field(
        default=None, description="None: (0, 16) for sequences, (0.2, 1.8) for tokens"
    )

    requires: ClassVar[Requires] = Requires(reference=True)
    training_defaults: ClassVar[TrainingSettings] = TrainingSettings(
        lr=1e-5, epochs=5.0, weight_decay=1e-4, warmup=0.05
    )
    start_values: ClassVar[Mapping[str, float]] = {"weight": 1.0}

    @property
    def bounds(self) -> tuple[float, float]:
        if self.clip is not None:
            return self.clip
        return (0.0, 16.0) if self.level == "sequence" else (0.2, 1.8)

    @property
    def _weighting(self) -> _Weighting:
        return {"level": self.level, "temperature": self.temperature, "clip": self.bounds}

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        return iw_sft_loss(logps, batch.reference(), batch.mask, **self._weighting)

    def metrics(self, logps: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The weight of every sequence, or of every trained token."""
        weights = importance_weights(logps, batch.reference(), batch.mask, **self._weighting)
        if self.level == "sequence":
            return {"weight": (weights * batch.mask).amax(-1)}
        return {"weight": weights[batch.mask > 0]}

    def summarise_metrics(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """Mean, maximum, clipped share, and effective sample size as a share of the weights."""
        weight = metrics["weight"].double()
        low, high = self.bounds
        clipped = ((weight <= low) | (weight >= high)).double().mean()
        square = weight.square().sum()
        ess = weight.sum().square() / square / len(weight) if square > 0 else square
        return {
            "weight_mean": weight.mean().item(),
            "weight_max": weight.max().item(),
            "weight_clipped_share": clipped.item(),
            "weight_effective_share": ess.item(),
        }
