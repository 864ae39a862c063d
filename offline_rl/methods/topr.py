"""Tapered off-policy REINFORCE: accepted up, wrong down for as long as the policy makes them."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from losses import tapers, topr_loss
from offline_rl.batch import Batch
from offline_rl.methods.base import Origin, Requires
from offline_rl.methods.families import Graded
from offline_rl.settings.training import TrainingSettings


class Topr(Graded):
    """Mean over tokens of `-log p` if accepted, else `sg(clip(pi / mu, 0, 1)) log p` (2503.14286).

    mu is the base model at temperature 1, scored by the trainer. `level` says what the ratio is of:
    "sum", the whole completion as in the paper, "mean", the geometric mean over its tokens, or
    "token". The paper sums over a completion's tokens; here every token weighs the same. The
    learning rate is chosen here.
    """

    kind: Literal["topr"] = "topr"
    level: Literal["sum", "mean", "token"] = Field(
        default="sum",
        description="what the ratio is of: the completion, its mean token, each token",
    )

    requires: ClassVar[Requires] = Requires(reference=True)
    training_defaults: ClassVar[TrainingSettings] = TrainingSettings(lr=1e-5)

    def caveats(self, origin: Origin) -> Iterator[str]:
        taken = "takes the base model's own probabilities for those that drew the rollouts, but"
        drawn = origin.sampling
        if drawn is None:
            yield f"{taken} these come from elsewhere."
        elif (drawn.temperature, drawn.top_p) != (1.0, 1.0):
            yield (
                f"{taken} these were drawn at temperature {drawn.temperature:g} and top-p"
                f" {drawn.top_p:g}."
            )

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        return topr_loss(logps, batch.reference(), batch.accepted, batch.mask, level=self.level)

    def metrics(self, logps: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The taper of every trained token of the wrong rollouts."""
        every = tapers(logps, batch.reference(), batch.mask, level=self.level)
        return {"taper": every[(batch.mask > 0) & ~batch.accepted[:, None]]}
