"""Examples to padded tensors, on the token ids that were sampled."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data_gen.types import DataError
from data_gen.views import Example


@dataclass(frozen=True, slots=True)
class Row:
    """One rollout as the trainer reads it; `reference_logps` go with the completion's tokens.

    Both are 32-bit arrays: examples are all in memory, where Python numbers take ten times as much.
    `signal` is the method's own number for it, and `accepted` what the selection says of it.
    """

    rollout_id: str
    tokens: "array[int]"
    prompt_length: int
    reference_logps: "array[float] | None" = None
    signal: float = 1.0
    accepted: bool = True

    @property
    def trained_tokens(self) -> int:
        return len(self.tokens) - self.prompt_length

    @property
    def problem_id(self) -> str:
        return self.rollout_id.rpartition("#")[0]


TokenizedExample = tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of whole examples, padded on the right; position t of `mask` is token t + 1.

    The rows of an example are adjacent, `rows_per_example` of them. Optional fields are None unless
    the method's `requires` names them; methods read them through the functions below.
    """

    tokens: Int[Tensor, "rows t"]
    attention_mask: Int[Tensor, "rows t"]
    mask: Float[Tensor, "rows t-1"]
    signals: Float[Tensor, " rows"]
    accepted: Bool[Tensor, " rows"]
    rows_per_example: int
    reference_logps: Float[Tensor, "rows t-1"] | None = None
    lagged_logps: Float[Tensor, "rows t-1"] | None = None
    base_divergence: Float[Tensor, "rows t-1"] | None = None
    step_mean: Float[Tensor, ""] | None = None

    def reference(self) -> Float[Tensor, "rows t-1"]:
        """The base model's log-probabilities in nats."""
        return _served(self.reference_logps, "reference log-probabilities", "reference")

    def lagged(self) -> Float[Tensor, "rows t-1"]:
        """Log-probabilities in nats of the policy as it was when last refreshed."""
        return _served(self.lagged_logps, "a lagging policy", "lag_steps")

    def divergence(self) -> Float[Tensor, "rows t-1"]:
        """KL(base || policy) in nats over the whole vocabulary, with its gradient."""
        return _served(self.base_divergence, "the base's divergence", "base_kl")

    def statistic(self) -> Float[Tensor, ""]:
        """The mean of the required `StepStatistic` over the whole optimiser step, a constant."""
        return _served(self.step_mean, "a step's mean", "step_statistic")

    @property
    def labels(self) -> Int[Tensor, "rows t"]:
        """Token ids with -100 where nothing is trained."""
        shifted = torch.where(self.mask > 0, self.tokens[:, 1:], -100)
        return torch.cat([torch.full_like(self.tokens[:, :1], -100), shifted], 1)


def _served(value: Tensor | None, what: str, name: str) -> Tensor:
    if value is None:
        raise ValueError(f"this method reads {what}: its `requires` must set {name}")
    return value


def tokenize(example: Example) -> TokenizedExample:
    """Prompt and completion ids joined as they were sampled; text is never tokenised again."""
    rows = []
    for rollout in example:
        completion = rollout.completion
        if not completion.prompt_tokens:
            raise DataError(
                f"{completion.problem_id}: an empty prompt leaves nothing to condition on"
            )
        tokens = array("i", [*completion.prompt_tokens, *completion.tokens])
        name = f"{completion.problem_id}#{completion.sample}"
        rows.append(Row(name, tokens, len(completion.prompt_tokens)))
    return tuple(rows)


def with_signals(
    example: TokenizedExample, signals: Sequence[float], accepted: Sequence[bool]
) -> TokenizedExample:
    """The example with a signal for each of its rows, and whether each is an accepted one."""
    return tuple(
        replace(row, signal=signal, accepted=flag)
        for row, signal, flag in zip(example, signals, accepted, strict=True)
    )


def with_reference(row: Row, logps: Float[Tensor, " t-1"]) -> Row:
    """The row with the log-probabilities of its completion's tokens kept as the reference."""
    values = logps[row.prompt_length - 1 : len(row.tokens) - 1].float()
    return replace(row, reference_logps=array("f", values.tolist()))


def longest(example: TokenizedExample) -> int:
    return max(len(row.tokens) for row in example)


def collate(examples: Sequence[TokenizedExample], device: torch.device) -> Batch:
    """One padded batch; the padding id is 0, which nothing attends to and nothing scores."""
    rows = [row for example in examples for row in example]
    width = max(len(row.tokens) for row in rows)
    tokens = torch.zeros(len(rows), width, dtype=torch.long)
    attention = torch.zeros_like(tokens)
    mask = torch.zeros(len(rows), width - 1)
    reference = torch.zeros(len(rows), width - 1)
    for i, row in enumerate(rows):
        end = len(row.tokens)
        tokens[i, :end] = torch.frombuffer(row.tokens, dtype=torch.int32)
        attention[i, :end] = 1
        mask[i, row.prompt_length - 1 : end - 1] = 1
        if row.reference_logps is not None:
            known_logps = torch.frombuffer(row.reference_logps, dtype=torch.float32)
            reference[i, row.prompt_length - 1 : end - 1] = known_logps
    known = all(row.reference_logps is not None for row in rows)
    return Batch(
        tokens=tokens.to(device),
        attention_mask=attention.to(device),
        mask=mask.to(device),
        signals=torch.tensor([row.signal for row in rows]).to(device),
        accepted=torch.tensor([row.accepted for row in rows]).to(device),
        rows_per_example=len(examples[0]),
        reference_logps=reference.to(device) if known else None,
    )


def microbatches(
    examples: Sequence[TokenizedExample], tokens_per_microbatch: int
) -> Iterator[list[TokenizedExample]]:
    """Sorted by length and cut so that each piece, padded, stays within the token budget.

    An example is never split; one that is longer than the budget goes alone.
    """
    piece: list[TokenizedExample] = []
    for example in sorted(examples, key=longest):
        padded = (len(piece) + 1) * len(example) * longest(example)
        if piece and padded > tokens_per_microbatch:
            yield piece
            piece = []
        piece.append(example)
    if piece:
        yield piece
