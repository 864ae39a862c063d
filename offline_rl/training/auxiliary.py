"""The policy's log-probabilities with what else a method requires of a batch."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType
from safetensors.torch import load_file, save_file
from torch import Tensor

from data_gen.types import DataError
from offline_rl.batch import Batch
from offline_rl.methods.base import Requires
from offline_rl.training.base_kl import BaseDivergence
from offline_rl.training.lm_head import LossHead, Scored
from offline_rl.training.weight_snapshot import Snapshot

LAGGED = "lagged.safetensors"


class Auxiliary:
    """Computes the lagging policy, the divergence from the base, and a step's mean.

    Make it while the model is still the base.
    Raises DataError where the divergence is required while FSDP shards the weights.
    """

    def __init__(self, requires: Requires, model: Any, head: LossHead, accelerator: Any) -> None:
        self._requires = requires
        self._head = head
        self._accelerator = accelerator
        self._step_mean: Tensor | None = None
        if requires.base_kl and accelerator.distributed_type == DistributedType.FSDP:
            raise DataError(
                "this method compares whole distributions of policy and base, which FSDP cannot"
                " give: train it without, training.launch.config: null"
            )
        self._lagged: Snapshot | None = None
        self._divergence = BaseDivergence(model) if requires.base_kl else None

    @property
    def passes(self) -> int:
        """Forward passes without gradient that a step takes besides those it learns by."""
        needs = self._requires
        return sum((needs.step_statistic is not None, needs.lag_steps is not None, needs.base_kl))

    def begin_step(self, model: Any, step: int, batches: Iterable[tuple[Batch, bool]]) -> None:
        """Refreshes the lagging policy if it is time, and computes the step's statistic.

        `step` counts the optimiser steps done. `batches` are of the statistic's examples: those of
        all processes make one mean, to which the ones flagged as idle add nothing.
        """
        every, statistic = self._requires.lag_steps, self._requires.step_statistic
        if every and step % every == 0:
            self._lagged = Snapshot(self._accelerator.unwrap_model(model))
        if statistic is None:
            return
        values = []
        with self._still(model):
            for batch, idle in batches:
                logps = self._head(model, batch).log_probs.float()
                values.append(statistic.values(logps, batch)[: 0 if idle else None])
        joined = torch.cat(values).double()
        both = torch.stack([joined.sum(), joined.new_tensor(len(joined))])
        total, count = self._accelerator.reduce(both, reduction="sum")
        self._step_mean = (total / count).float()

    def score(self, model: Any, batch: Batch) -> tuple[Scored, Batch]:
        """The forward pass, and the batch with all that the method requires."""
        bare = self._accelerator.unwrap_model(model)
        batch = replace(batch, step_mean=self._step_mean)
        if self._lagged is not None:
            with self._still(model), self._lagged.in_place(bare):
                logps = self._head(model, batch).log_probs.float()
            batch = replace(batch, lagged_logps=logps)
        if self._divergence is None:
            return self._head(model, batch), batch
        with self._still(model):
            base_states = self._divergence.base_states(bare, batch)
        with self._divergence.watched(bare) as states:
            output = self._head(model, batch)
        with self._accelerator.autocast():
            divergence = self._divergence.between(bare, base_states, states[-1], batch)
        return output, replace(batch, base_divergence=divergence)

    def save(self, folder: Path) -> None:
        """Puts into a checkpoint what cannot be made again; every process calls, one writes."""
        if self._lagged is None:
            return
        tensors = self._lagged.tensors()
        if self._accelerator.is_main_process:
            save_file(tensors, folder / LAGGED)

    def restore(self, folder: Path) -> None:
        """Goes on from a checkpoint that `save` was called for."""
        if self._requires.lag_steps is not None:
            self._lagged = Snapshot.of(load_file(folder / LAGGED))

    @contextmanager
    def _still(self, model: Any) -> Iterator[None]:
        """Without dropout, gradient or recomputation, in the precision of training."""
        training = model.training
        model.eval()
        try:
            with torch.no_grad(), self._accelerator.autocast():
                yield
        finally:
            model.train(training)
