"""Direct preference optimisation on pairs of an accepted and a wrong rollout of one problem."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from data_gen.selection import Selection
from data_gen.types import Rollout
from data_gen.views import Example, pairs
from losses import dpo_loss, sequence_logps
from offline_rl.batches import Batch
from offline_rl.methods.base import Method


class Dpo(Method):
    """Mean over pairs of `-log sigmoid(beta * margin)` (arXiv 2305.18290).

    The margin is the chosen log-ratio less the rejected one, policy against the base model.
    """

    kind: Literal["dpo"] = "dpo"
    beta: float = Field(default=0.1, gt=0, allow_inf_nan=False)

    per: ClassVar[Literal["token", "example"]] = "example"
    needs_reference: ClassVar[bool] = True
    training_defaults: ClassVar[Mapping[str, Any]] = {
        "lr": 1e-6,
        "examples_per_step": 128,
        "warmup": 0.05,
    }
    start_values: ClassVar[Mapping[str, float]] = {"pair_loss": math.log(2)}

    def examples(
        self, rollouts: Sequence[Rollout], selection: Selection, seed: int
    ) -> list[Example]:
        matched = pairs(
            rollouts,
            min_reward=selection.min_reward,
            policy=selection.pairs.policy,
            per_problem=selection.pairs.per_problem,
            unique=selection.unique,
            seed=seed,
        )
        return list(matched)

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        chosen, rejected = self._log_ratios(logps, batch)
        return dpo_loss(chosen, rejected, beta=self.beta)

    def measures(self, logps: Tensor, batch: Batch) -> dict[str, Tensor]:
        chosen, rejected = self._log_ratios(logps, batch)
        margin = chosen - rejected
        return {
            "pair_loss": dpo_loss(chosen, rejected, beta=self.beta),
            "chosen_log_ratio": chosen,
            "rejected_log_ratio": rejected,
            "margin": margin,
            "margin_accuracy": (margin > 0).to(margin.dtype),
        }

    def _log_ratios(self, logps: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        ratio = sequence_logps(logps - batch.reference(), batch.mask).view(-1, 2)
        return ratio[:, 0], ratio[:, 1]
