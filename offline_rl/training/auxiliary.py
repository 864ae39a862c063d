"""What methods ask for beyond the policy's own log-probabilities, served without knowing them."""

from collections.abc import Callable, Iterable, Iterator
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
from offline_rl.methods.base import Method
from offline_rl.training.base_kl import BaseDivergence
from offline_rl.training.weight_snapshot import Snapshot

LAGGED = "lagged.safetensors"

Forward = Callable[[Any, Batch], Any]


class Needs:
    """Serves a method its lagging policy, the divergence from the base, and a step's mean.

    Make it while the model is still the base. `forward(model, batch)` scores a batch.
    Raises DataError for a method that needs the divergence while FSDP parts the weights.
    """

    def __init__(self, method: Method, model: Any, forward: Forward, accelerator: Any) -> None:
        self._method = method
        self._forward = forward
        self._accelerator = accelerator
        self._step_mean: Tensor | None = None
        parted = accelerator.distributed_type == DistributedType.FSDP
        if method.needs_base_divergence and parted:
            raise DataError(
                f"{type(method).__name__} compares whole distributions of policy and base, which"
                " FSDP cannot give: train it without, training.launch.config: null"
            )
        self._lagged: Snapshot | None = None
        self._divergence = BaseDivergence(model) if method.needs_base_divergence else None

    @property
    def passes(self) -> int:
        """Forward passes without gradient that a step takes beside those it learns by."""
        companions = self._step_mean is not None
        lagged = self._method.refresh_every is not None
        return sum((companions, lagged, self._divergence is not None))

    def begin_step(self, model: Any, step: int, companions: Iterable[tuple[Batch, bool]]) -> None:
        """Refreshes the lagging policy if it is time, and takes the mean over the companions.

        `step` counts the optimiser steps done. All processes' companions make one mean, to which
        the idle ones, told by their flag, add nothing.
        """
        every = self._method.refresh_every
        if every and step % every == 0:
            self._lagged = Snapshot(self._bare(model))
        values = []
        with self._still(model):
            for batch, idle in companions:
                logps = self._forward(model, batch).log_probs.float()
                values.append(self._method.step_values(logps, batch)[: 0 if idle else None])
        if values:
            joined = torch.cat(values).double()
            both = torch.stack([joined.sum(), joined.new_tensor(len(joined))])
            total, count = self._accelerator.reduce(both, reduction="sum")
            self._step_mean = (total / count).float()

    def score(self, model: Any, batch: Batch) -> tuple[Any, Batch]:
        """The forward pass, and the batch with all that the method declared."""
        bare = self._bare(model)
        batch = replace(batch, step_mean=self._step_mean)
        if self._lagged is not None:
            with self._still(model), self._lagged.in_place(bare):
                logps = self._forward(model, batch).log_probs.float()
            batch = replace(batch, lagged_logps=logps)
        if self._divergence is None:
            return self._forward(model, batch), batch
        with self._still(model):
            base_states = self._divergence.base_states(bare, batch)
        with self._divergence.watched(bare) as states:
            output = self._forward(model, batch)
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
        if self._method.refresh_every is not None:
            self._lagged = Snapshot.of(load_file(folder / LAGGED))

    def _bare(self, model: Any) -> Any:
        return self._accelerator.unwrap_model(model)

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
