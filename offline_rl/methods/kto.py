"""Kahneman-Tversky optimisation: accepted and wrong rollouts without pairs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from data_gen.types import DataError
from losses import kto_loss, sequence_logps
from offline_rl.batch import Batch, TokenizedExample
from offline_rl.methods.base import Requires, StepStatistic
from offline_rl.methods.families import BETA, DPO_TRAINING, Graded, Per
from offline_rl.settings.training import TrainingSettings


def _mismatched(examples: Sequence[TokenizedExample]) -> list[TokenizedExample]:
    """Raises DataError where all examples are of one problem."""
    ordered = sorted(range(len(examples)), key=lambda i: examples[i][0].problem_id)
    largest = max(Counter(row.problem_id for (row,) in examples).values(), default=0)
    if largest == len(examples):
        raise DataError("all rollouts are of one problem: kto compares them with another's")
    found: dict[int, TokenizedExample] = {}
    for place, number in enumerate(ordered):
        (row,), (other,) = examples[number], examples[ordered[place - largest]]
        tokens = row.tokens[: row.prompt_length] + other.tokens[other.prompt_length :]
        found[number] = (replace(row, tokens=tokens),)
    return [found[number] for number in range(len(examples))]


def _log_ratios(logps: Tensor, batch: Batch) -> Tensor:
    return sequence_logps(logps - batch.reference(), batch.mask)


class Kto(Graded):
    """Mean over rollouts of `w (1 - sigmoid(+-beta (log-ratio - KL)))` (arXiv 2402.01306).

    The log-ratio of policy to base model is summed over the completion; the sign is + for accepted
    and - for wrong ones. KL is the mean log-ratio of completions put behind the prompts of other
    problems, over the whole optimiser step and without gradient, and 0 if negative. Who is put
    behind whose prompt is settled once: the completion some places before, as many as the largest
    problem has rollouts, so that each is used once (of one rollout a problem: the one before, as in
    TRL, which does this within each batch).
    """

    kind: Literal["kto"] = "kto"
    beta: float = BETA
    desirable_weight: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="of accepted rollouts' losses"
    )
    undesirable_weight: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="of wrong rollouts' losses"
    )

    per: ClassVar[Per] = "example"
    requires: ClassVar[Requires] = Requires(
        reference=True, step_statistic=StepStatistic(_mismatched, _log_ratios)
    )
    training_defaults: ClassVar[TrainingSettings] = DPO_TRAINING
    start_values: ClassVar[Mapping[str, float]] = {"reward": 0.0}

    def loss(self, logps: Tensor, batch: Batch) -> Tensor:
        return kto_loss(
            _log_ratios(logps, batch),
            batch.accepted,
            batch.statistic(),
            beta=self.beta,
            desirable_weight=self.desirable_weight,
            undesirable_weight=self.undesirable_weight,
        )

    def metrics(self, logps: Tensor, batch: Batch) -> dict[str, Tensor]:
        """beta times the log-ratios, as in TRL, and the step's KL in nats."""
        reward = self.beta * _log_ratios(logps, batch)
        return {
            "reward": reward,
            "accepted_reward": reward[batch.accepted],
            "rejected_reward": reward[~batch.accepted],
            "kl": batch.statistic().clamp(min=0).view(1),
        }
