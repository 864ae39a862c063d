"""What methods have in common by what they learn from: accepted rollouts, pairs, or all of them."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, JsonValue
from torch import Tensor

from data_gen.selection import Selection
from data_gen.types import Rollout
from data_gen.views import Example, accepted, pairs, rejected
from offline_rl.methods.base import Method, Origin
from offline_rl.settings.training import TrainingSettings

Per = Literal["token", "example"]


def _holds_one(clip: tuple[float, float]) -> tuple[float, float]:
    low, high = clip
    if not 0 <= low < 1 < high:
        raise ValueError(f"must be (low, high) with 0 <= low < 1 < high, not {clip}")
    return clip


Clip = Annotated[tuple[float, float], AfterValidator(_holds_one)]
"""Bounds of a ratio, which is 1 at equal policies."""

BETA: Any = Field(
    default=0.1,
    gt=0,
    allow_inf_nan=False,
    description="how strongly the policy is held to the base: smaller lets it move further",
)
"""The `beta` of dpo, ipo and kto."""

DPO_TRAINING = TrainingSettings(lr=1e-6, examples_per_step=128, warmup=0.05)
"""Training settings of dpo, ipo and kto."""


class Imitation(Method):
    """A method that learns from single accepted rollouts and is averaged over their tokens."""

    per: ClassVar[Per] = "token"
    wants: ClassVar[str] = "accepted rollout"

    def examples(
        self, group: Sequence[Rollout], selection: Selection, seed: int
    ) -> Sequence[Example]:
        kept = accepted(group, min_reward=selection.min_reward, unique=selection.unique)
        return [(rollout,) for rollout in kept]


class Graded(Method):
    """A method that learns from accepted and from wrong rollouts, each by itself.

    Unverifiable rollouts are left out, and so are truncated ones with a reward that would be
    accepted. With `selection.unique` identical completions of a problem are learnt from once.
    """

    per: ClassVar[Per] = "token"
    wants: ClassVar[str] = "accepted or wrong rollout"

    def examples(
        self, group: Sequence[Rollout], selection: Selection, seed: int
    ) -> Sequence[Example]:
        return [(rollout,) for rollout in verified(group, selection, unique=selection.unique)]


class Preference(Method):
    """A method that learns from pairs of an accepted and a wrong rollout of one problem."""

    per: ClassVar[Per] = "example"
    wants: ClassVar[str] = "pair of an accepted and a wrong rollout"

    def examples(
        self, group: Sequence[Rollout], selection: Selection, seed: int
    ) -> Sequence[Example]:
        return pairs(
            group,
            min_reward=selection.min_reward,
            policy=selection.pairs.policy,
            per_problem=selection.pairs.per_problem,
            unique=selection.unique,
            seed=seed,
        )

    def reads(self, selection: Selection) -> dict[str, JsonValue]:
        return selection.model_dump(mode="json")


def verified(rollouts: Sequence[Rollout], selection: Selection, *, unique: bool) -> list[Rollout]:
    """The accepted and the rejected rollouts, in the order of their coming."""
    kept = {
        id(rollout)
        for view in (accepted, rejected)
        for rollout in view(rollouts, min_reward=selection.min_reward, unique=unique)
    }
    return [rollout for rollout in rollouts if id(rollout) in kept]


class Baselined(Graded):
    """A graded method that holds a reward against the mean of its problem.

    The mean is over the problem's verified rollouts in the data set, as its filters left them:
    identical ones count each, also where `selection.unique` has only one learnt from.
    """

    def caveats(self, origin: Origin) -> Iterator[str]:
        if names := origin.filters.of_completions:
            yield (
                f"holds rewards against a problem's mean over what the filters left"
                f" ({', '.join(names)}), which may be another than the mean over what was drawn."
            )


def mean_reward(group: Sequence[Rollout], selection: Selection) -> float:
    """Of a problem's accepted and rejected rollouts, identical ones counted each."""
    rewards = [rollout.reward for rollout in verified(group, selection, unique=False)]
    return sum(rewards) / len(rewards)


def sides(values: Tensor) -> tuple[Tensor, Tensor]:
    """Row values as those of the chosen and those of the rejected completions, one per pair."""
    return values[::2], values[1::2]


def margin_metrics(loss: Tensor, chosen: Tensor, rejected: Tensor) -> dict[str, Tensor]:
    """What is worth a curve for every preference method."""
    margin = chosen - rejected
    return {
        "pair_loss": loss,
        "margin": margin,
        "margin_accuracy": (margin > 0).to(margin.dtype),
    }
