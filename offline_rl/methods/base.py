"""What a method is: which examples it learns from, and what it minimises on them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from torch import Tensor

from data_gen.filters import Filters
from data_gen.selection import Selection
from data_gen.types import Rollout, Sampling
from data_gen.views import Example
from offline_rl.batch import Batch, TokenizedExample
from offline_rl.settings.training import TrainingSettings


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the rollouts that methods learn from come from."""

    sampling: Sampling | None
    """None: they were not sampled from the base model here."""
    filters: Filters


@dataclass(frozen=True, slots=True)
class StepStatistic:
    """A mean over the whole optimiser step, all processes together, computed without gradient."""

    examples: Callable[[Sequence[TokenizedExample]], list[TokenizedExample]]
    """Given the training examples, one for each, scored before the step that learns from it."""
    values: Callable[[Tensor, Batch], Tensor]
    """Given log-probabilities and batch of such examples, the values (n,) to average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requires:
    """What a method reads from a batch besides its rollouts; the trainer computes only that."""

    reference: bool = False
    """`batch.reference()`: the base model's log-probabilities."""
    base_kl: bool = False
    """`batch.divergence()`: the trainer then keeps the base's weights."""
    lag_steps: int | None = None
    """`batch.lagged()`: log-probabilities of an older policy, renewed every so many steps."""
    step_statistic: StepStatistic | None = None
    """`batch.statistic()`: its mean."""


class Method(BaseModel, ABC):
    """Settings of one method. Subclasses are frozen values, one file each.

    `training` overrides keys of the experiment's training section for this method alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    """The method's name in a settings file; each has its own, as `Literal` and default."""
    training: TrainingSettings = Field(
        default=TrainingSettings(),
        description="overrides the experiment's training, for this method",
    )

    per: ClassVar[Literal["token", "example"]]
    """What the loss is averaged over: trained tokens, or examples."""
    wants: ClassVar[str]
    """What an example is made of, for the message where there is none."""
    learns_from: ClassVar[Literal["rollouts", "demonstrations"]] = "rollouts"
    """Whether `examples` is given sampled rollouts, or the problems' own solutions as rollouts."""
    training_defaults: ClassVar[TrainingSettings] = TrainingSettings()
    """Training settings of the method's paper; the experiment's training section goes before."""
    start_values: ClassVar[Mapping[str, float]] = {}
    """Metrics whose every element is known before the first update, where policy = reference."""

    @property
    def requires(self) -> Requires:
        """What `loss` and `metrics` read; a `ClassVar` where no setting changes it."""
        return Requires()

    @abstractmethod
    def examples(
        self, group: Sequence[Rollout], selection: Selection, seed: int
    ) -> Sequence[Example]:
        """What is learnt from the rollouts of one problem, all that the data set has of it.

        Tuples of rollouts, all of one length, the preferred one first.
        """

    def signals(
        self, example: Example, group: Sequence[Rollout], selection: Selection
    ) -> tuple[float, ...]:
        """`batch.signals`, by default rewards. `group` is what `examples` was given."""
        return tuple(rollout.reward for rollout in example)

    def caveats(self, origin: Origin) -> Iterator[str]:
        """Sentences for the report where rollouts are not what the method takes them for."""
        yield from ()

    def reads(self, selection: Selection) -> dict[str, JsonValue]:
        """The part of the selection's settings that `examples` depends on."""
        return selection.model_dump(mode="json", exclude={"pairs"})

    @abstractmethod
    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        """Unreduced loss: (rows, time) for a token method, zero where masked; else (examples,).

        `logps` are the policy's log-probabilities in nats, float32, (rows, time), zero where
        `batch.mask` is 0.
        """

    def metrics(self, logps: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Quantities worth a curve, each a 1-D tensor over this micro-batch's own units."""
        return {}

    def summarise_metrics(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """What is logged of a step's metrics, its micro-batches joined. By default the means."""
        return {name: values.mean().item() for name, values in metrics.items() if len(values)}
