"""The weights of a policy as they were at one moment, beside those it trains."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor


class Snapshot:
    """A copy of a model's trainable parameters; of adapters therefore only their own.

    The other parameters never change, so the two together are the whole model. Where processes
    share the weights, each holds its part; then all of them call together.
    """

    def __init__(self, model: Any) -> None:
        _part(model)
        self._held: dict[str, Tensor] = {
            name: parameter.detach().clone()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "Snapshot":
        """One with the values of `tensors()`."""
        made = cls.__new__(cls)
        made._held = dict(tensors)
        return made

    def get(self, name: str) -> Tensor | None:
        """A parameter by its name in the model; None for one that is not trained."""
        return self._held.get(name)

    def tensors(self) -> dict[str, Tensor]:
        """All of them by name, whole and contiguous."""
        return {
            name: (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).contiguous()
            for name, tensor in self._held.items()
        }

    @contextmanager
    def in_place(self, model: Any) -> Iterator[None]:
        """Inside the block the model has these weights; nothing is copied but parts of weights."""
        self._exchange(model)
        try:
            yield
        finally:
            self._exchange(model)

    def _exchange(self, model: Any) -> None:
        _part(model)
        for name, parameter in model.named_parameters():
            if name not in self._held:
                continue
            held = self._held[name].to(parameter.device)
            if isinstance(parameter, DTensor):
                self._held[name] = _exchanged(parameter, held)
            else:
                parameter.data, self._held[name] = held, parameter.data


def _part(model: Any) -> None:
    """Lets go of what FSDP has gathered: it may be of other weights soon."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


@torch.no_grad()
def _exchanged(parameter: DTensor, held: Tensor) -> DTensor:
    """Exchanges the values of this process's part; FSDP gathers from the memory it knows."""
    if not isinstance(held, DTensor):
        held = distribute_tensor(
            held, parameter.device_mesh, parameter.placements, src_data_rank=None
        )
    own, other = parameter.to_local(), held.to_local()
    before = own.clone()
    own.copy_(other)
    other.copy_(before)
    return held
