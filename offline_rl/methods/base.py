"""What a method is: which examples it learns from, and what it minimises on them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from data_gen.selection import Selection
from data_gen.types import Rollout
from data_gen.views import Example, accepted
from offline_rl.batches import Batch
from offline_rl.training_settings import TrainingSettings


class Method(BaseModel, ABC):
    """Settings of one method. Subclasses are frozen values, one file each.

    `training` overrides keys of the experiment's training section for this method alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: TrainingSettings = TrainingSettings()

    per: ClassVar[Literal["token", "example"]]
    """What the loss is averaged over: trained tokens, or examples."""
    needs_reference: ClassVar[bool] = False
    """Whether `loss` reads `batch.reference_logps`, the base model's log-probabilities."""
    training_defaults: ClassVar[Mapping[str, Any]] = {}
    """Training settings of the method's paper; the experiment's training section goes before."""
    start_values: ClassVar[Mapping[str, float]] = {}
    """Measures whose every element is known before the first update, where policy = reference."""

    @abstractmethod
    def examples(
        self, rollouts: Sequence[Rollout], selection: Selection, seed: int
    ) -> list[Example]:
        """Tuples of rollouts to learn from, all of one length, the preferred one first."""

    def reads(self, selection: Selection) -> dict[str, Any]:
        """The part of the selection's settings that `examples` depends on."""
        return selection.model_dump(mode="json")

    @abstractmethod
    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        """Unreduced loss: (rows, time) for a token method, zero where masked; else (examples,).

        `logps` are the policy's log-probabilities in nats, float32, (rows, time), zero where
        `batch.mask` is 0.
        """

    def measures(self, logps: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Quantities worth a curve, each a 1-D tensor over this micro-batch's own units."""
        return {}

    def summarise(self, measures: dict[str, Tensor]) -> dict[str, float]:
        """What is logged of a step's measures, its micro-batches joined. By default the means."""
        return {name: values.mean().item() for name, values in measures.items()}


class Imitation(Method):
    """A method that learns from single accepted rollouts and is averaged over their tokens."""

    per: ClassVar[Literal["token", "example"]] = "token"

    def examples(
        self, rollouts: Sequence[Rollout], selection: Selection, seed: int
    ) -> list[Example]:
        kept = accepted(rollouts, min_reward=selection.min_reward, unique=selection.unique)
        return [(rollout,) for rollout in kept]

    def reads(self, selection: Selection) -> dict[str, Any]:
        return selection.model_dump(mode="json", exclude={"pairs"})
