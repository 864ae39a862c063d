"""The weights of a policy as they were at one moment, beside those it trains."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor


class Snapshot:
    """A copy of a model's trainable parameters; of adapters therefore only their own.

    The other parameters never change, so the two together are the whole model.
    """

    def __init__(self, model: Any) -> None:
        self._held: dict[str, Tensor] = {
            name: parameter.detach().clone()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }

    def get(self, name: str) -> Tensor | None:
        """A parameter by its name in the model; None for one that is not trained."""
        return self._held.get(name)

    def tensors(self) -> dict[str, Tensor]:
        """All of them by name, contiguous."""
        return {name: tensor.contiguous() for name, tensor in self._held.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes the values of `tensors()` over, names and shapes being the same."""
        for name, held in self._held.items():
            held.copy_(tensors[name])

    @contextmanager
    def in_place(self, model: Any) -> Iterator[None]:
        """Inside the block the model has these weights; nothing is copied."""
        self._exchange(model)
        try:
            yield
        finally:
            self._exchange(model)

    def _exchange(self, model: Any) -> None:
        for name, parameter in model.named_parameters():
            if name in self._held:
                parameter.data, self._held[name] = self._held[name], parameter.data
