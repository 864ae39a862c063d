"""Means over the trained tokens of a step, of accepted and rejected completions apart."""

from collections.abc import Callable

import torch
from torch import Tensor

from offline_rl.batch import Batch

_SIDES = ("accepted", "rejected")


class TokenStats:
    """Sums over micro-batches; every process has the same ones, so that they can be reduced."""

    def __init__(self, device: torch.device, *, entropy: bool) -> None:
        names = ("tokens", "nll", "mean_p", *(("entropy",) if entropy else ()))
        self._sums = {
            f"{side}_{name}": torch.zeros((), device=device) for side in _SIDES for name in names
        }

    def add(self, logps: Tensor, entropy: Tensor | None, batch: Batch) -> None:
        """Counts a micro-batch in; `entropy` is (rows, time - 1), in nats, where it is known."""
        for side, rows in zip(_SIDES, (batch.accepted, ~batch.accepted), strict=True):
            mask = batch.mask * rows[:, None]
            each = {"nll": -logps, "mean_p": logps.exp()}
            each |= {} if entropy is None else {"entropy": entropy}
            sums = {name: (values * mask).sum() for name, values in each.items()}
            for name, value in {"tokens": mask.sum(), **sums}.items():
                self._sums[f"{side}_{name}"] += value

    def means(self, over_processes: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Per token, by name; nothing of a side without tokens."""
        sums = {name: over_processes(value) for name, value in self._sums.items()}
        counts = {side: sums.pop(f"{side}_tokens") for side in _SIDES}
        return {
            name: (value / counts[name.split("_")[0]]).item()
            for name, value in sums.items()
            if counts[name.split("_")[0]] > 0
        }
