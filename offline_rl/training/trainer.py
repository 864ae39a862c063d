"""The one trainer of all methods: TRL's, with the method's loss and exact batch arithmetic."""

import contextlib
import json
import logging
import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import BatchSamplerShard
from accelerate.utils import gather_object
from datasets import Dataset
from torch import Tensor
from trl import SFTTrainer

from offline_rl.batch import Batch, TokenizedExample, collate, longest, microbatches, with_reference
from offline_rl.methods.base import Method
from offline_rl.training.auxiliary import Auxiliary
from offline_rl.training.lm_head import HeadKind, LossHead
from offline_rl.training.model import causal_of
from offline_rl.training.packing import Packed, Packing
from offline_rl.training.token_stats import TokenStats

logger = logging.getLogger(__name__)

_FLOAT32_ROUNDING = 1e-4
_ROUNDING_PROBES = 8
_SEEN = "seen.json"


class TrainingError(RuntimeError):
    """Training that cannot go on; the message names the step and what was seen there."""


class OfflineTrainer(SFTTrainer):  # type: ignore[misc] # the library is taken as Any
    """Trains any Method. What the data loader yields is a whole optimiser batch.

    The batch is sorted and cut into micro-batches by a budget of padded tokens; every micro-batch's
    losses are summed and divided by the number of units (tokens or examples) of the whole step. So
    the gradient depends neither on the cutting nor on padding. Several processes all see the whole
    batch and share its micro-batches, so it does not depend on their number either.
    """

    def __init__(
        self,
        *,
        method: Method,
        examples: Sequence[TokenizedExample],
        tokens_per_microbatch: int,
        head: HeadKind = "auto",
        packing: Packed = "auto",
        **kwargs: Any,
    ) -> None:
        # TRL takes a `datasets` table only; examples stay here and the table numbers them.
        numbers = Dataset.from_dict({"example": list(range(len(examples)))})
        super().__init__(train_dataset=numbers, data_collator=_numbers, **kwargs)
        self._method = method
        self._examples = list(examples)
        statistic = method.requires.step_statistic
        self._statistic_examples = statistic.examples(self._examples) if statistic else []
        self._tokens_per_microbatch = tokens_per_microbatch
        self.packing = Packing(causal_of(self.model), packing, self.accelerator)
        self._head = LossHead(self.model, head, self.accelerator)
        self._auxiliary = Auxiliary(method.requires, self.model, self._head, self.accelerator)
        self._start_tolerance = _FLOAT32_ROUNDING
        self.examples_seen = 0
        self.tokens_seen = 0
        self._token_stats = TokenStats(self.args.device, entropy=self._logs_now())
        self._method_metrics: dict[str, list[Tensor]] = {}
        self._step_rows: list[str] = []

    @torch.no_grad()
    def add_reference(self) -> None:
        """Scores the training set and the step statistic's with the model as it is now.

        The values are kept beside them. Also measures how far rounding alone moves the method's
        start values, by scoring the first examples once more in another padding.
        """
        self._examples = self._score(self._examples)
        self._statistic_examples = self._score(self._statistic_examples)
        probes = self._examples[:_ROUNDING_PROBES]
        self._begin_step(self.model, range(len(probes)))
        for example in probes:
            padded = collate([example, max(self._examples, key=longest)], self.args.device)
            with self.accelerator.autocast():
                outputs, batch = self._auxiliary.score(self.model, padded)
            for name, values in self._method.metrics(outputs.log_probs, batch).items():
                if name in self._method.start_values:
                    gap = (values - self._method.start_values[name]).abs().max().item()
                    self._start_tolerance = max(self._start_tolerance, gap)

    def _score(self, examples: Sequence[TokenizedExample]) -> list[TokenizedExample]:
        self.model.eval()
        numbered = {id(example): i for i, example in enumerate(examples)}
        scored: dict[int, TokenizedExample] = {}
        for piece, idle in self._share(microbatches(examples, self._tokens_per_microbatch)):
            with self.accelerator.autocast():
                scores = self._head(self.model, collate(piece, self.args.device))
            rows = iter(scores.log_probs.cpu())
            for example in () if idle else piece:
                scored[numbered[id(example)]] = tuple(
                    with_reference(row, next(rows)) for row in example
                )
        everything = dict(pair for some in gather_object([scored]) for pair in some.items())
        return [everything[i] for i in range(len(examples))]

    def _share(
        self, pieces: Iterable[list[TokenizedExample]]
    ) -> list[tuple[list[TokenizedExample], bool]]:
        """This process's micro-batches, and whether one is idle: computed, but for nothing.

        All processes have equally many, since those that share a model's weights must pass
        through it together.
        """
        every = list(pieces)
        processes, own = self.accelerator.num_processes, self.accelerator.process_index
        rounds = -(-len(every) // processes)
        numbers = [own + turn * processes for turn in range(rounds)]
        return [(every[min(n, len(every) - 1)], n >= len(every)) for n in numbers]

    def get_train_dataloader(self) -> Any:
        """The library's, giving every process the whole batch."""
        loader = super().get_train_dataloader()
        if isinstance(loader.batch_sampler, BatchSamplerShard):
            loader.batch_sampler.num_processes = 1
            loader.batch_sampler.process_index = 0
            # Otherwise the last batch of an epoch would be filled up with examples seen already.
            loader.batch_sampler.even_batches = False
        return loader

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> Tensor:
        self._begin_step(model, inputs["examples"].tolist())
        model.train()
        examples = self._chosen(inputs)
        self._step_rows = [row.rollout_id for example in examples for row in example]
        tokens = sum(row.trained_tokens for example in examples for row in example)
        units = len(examples) if self._method.per == "example" else tokens
        self.examples_seen += len(examples)
        self.tokens_seen += tokens
        pieces = self._share(microbatches(examples, self._tokens_per_microbatch))
        total = torch.zeros((), device=self.args.device)
        self._head.entropy = self._logs_now()
        self._token_stats = TokenStats(self.args.device, entropy=self._head.entropy)
        self._method_metrics = {}
        with self.maybe_activation_offload_context:
            for number, (piece, idle) in enumerate(pieces, 1):
                last = number == len(pieces)
                # DeepSpeed takes its step inside the backward pass where this is on.
                self.accelerator.gradient_state._set_sync_gradients(last)
                with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                    batch = collate(piece, self.args.device)
                    if idle:
                        outputs, _ = self._auxiliary.score(model, batch)
                        self.accelerator.backward(0 * outputs.log_probs.sum())
                        continue
                    loss = self.compute_loss(model, batch, num_items_in_batch=units)
                    self.accelerator.backward(loss)
                total += loss.detach()
        whole: Tensor = self.accelerator.reduce(total, reduction="mean")
        self._check_and_record(whole)
        return whole

    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Tensor:
        """Sum of the method's losses over the units of the whole step.

        Processes average their gradients, hence the factor of their number.
        """
        outputs, inputs = self._auxiliary.score(model, inputs)
        logps = outputs.log_probs
        total = self._method.loss(logps, inputs).sum()
        loss: Tensor = total / num_items_in_batch * self.accelerator.num_processes
        with torch.no_grad():
            self._token_stats.add(logps, outputs.entropy, inputs)
            for name, values in self._method.metrics(logps, inputs).items():
                self._method_metrics.setdefault(name, []).append(values.float())
        return loss

    def _logs_now(self) -> bool:
        """Whether this step's figures are written down; entropies cost, and are taken only then."""
        return bool((self.state.global_step + 1) % self.state.logging_steps == 0)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """6 per parameter and token, forward and backward, and 2 for a pass without gradient."""
        tokens = sum(len(row.tokens) for example in self._chosen(inputs) for row in example)
        parameters: int = sum(p.numel() for p in self.model.parameters())
        # The library adds up what the processes say, each of which sees the whole batch.
        processes: int = self.accelerator.num_processes
        return (6 + 2 * self._auxiliary.passes) * tokens * parameters // processes

    def note(self, name: str, value: float) -> None:
        """Puts a figure into the next log line."""
        self._metrics["train"][name].append(value)

    def save_beside(self, checkpoint: Path) -> None:
        """Adds to a checkpoint what the library does not know of; every process calls."""
        self._auxiliary.save(checkpoint)
        if self.accelerator.is_main_process:
            seen = {"examples": self.examples_seen, "tokens": self.tokens_seen}
            (checkpoint / _SEEN).write_text(json.dumps(seen), encoding="utf-8")

    def restore(self, checkpoint: Path) -> None:
        """Goes on from a checkpoint that `save_beside` was called for."""
        seen = json.loads((checkpoint / _SEEN).read_text(encoding="utf-8"))
        self.examples_seen, self.tokens_seen = seen["examples"], seen["tokens"]
        self._auxiliary.restore(checkpoint)

    def _begin_step(self, model: Any, numbers: Iterable[int]) -> None:
        chosen = [self._statistic_examples[n] for n in numbers if self._statistic_examples]
        pieces = self._share(microbatches(chosen, self._tokens_per_microbatch))
        batches = ((collate(piece, self.args.device), idle) for piece, idle in pieces)
        self._auxiliary.begin_step(model, self.state.global_step, batches)

    def _chosen(self, inputs: dict[str, Any]) -> list[TokenizedExample]:
        return [self._examples[number] for number in inputs["examples"].tolist()]

    def _check_and_record(self, loss: Tensor) -> None:
        step = self.state.global_step + 1
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss is {loss.item()} at step {step}{self._rows_named()}")
        means = self._token_stats.means(partial(self.accelerator.reduce, reduction="sum"))
        metrics = self._gathered_metrics()
        if step == 1:
            self._check_start(metrics)
        for name, value in {**means, **self._method.summarise_metrics(metrics)}.items():
            self.note(name, value)

    def _gathered_metrics(self) -> dict[str, Tensor]:
        """Those of all processes, joined; a process without a micro-batch has none."""
        own = {name: torch.cat(values).cpu() for name, values in self._method_metrics.items()}
        everywhere = [metrics for metrics in gather_object([own]) if metrics]
        names = everywhere[0] if everywhere else ()
        return {name: torch.cat([metrics[name] for metrics in everywhere]) for name in names}

    def _check_start(self, metrics: dict[str, Tensor]) -> None:
        """Before the first update the policy is the reference, so some metrics are known."""
        for name, expected in self._method.start_values.items():
            gap = (metrics[name] - expected).abs().max().item()
            message = (
                f"{name} should be {expected:.4f} before the first update and is off by {gap:.2g}"
                f" (measured rounding: {self._start_tolerance:.2g}): the policy is not the"
                " reference it is compared with"
            )
            hard = 10 if self.args.bf16 else 1
            if not gap <= hard * self._start_tolerance:
                raise TrainingError(message)
            if gap > self._start_tolerance:
                logger.warning(message)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        if not math.isfinite(norm):
            step = self.state.global_step + 1
            raise TrainingError(f"the gradient norm is {norm} at step {step}{self._rows_named()}")
        return norm

    def _rows_named(self) -> str:
        shown = ", ".join(self._step_rows[:5])
        more = len(self._step_rows) - 5
        return f" (rollouts {shown}{f' and {more} more' if more > 0 else ''})"


def _numbers(items: list[dict[str, int]]) -> dict[str, Tensor]:
    return {"examples": torch.tensor([item["example"] for item in items])}
