"""The policy's divergence from the base over the whole vocabulary, never with whole logits."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from data_gen.types import DataError
from losses import base_divergence
from offline_rl.batch import Batch
from offline_rl.training.model import causal_of
from offline_rl.training.weight_snapshot import Snapshot

# Positions whose logits, of policy and base, are held at once; a chunk's are made again backward.
_CHUNK = 512
# Settings of models that do more to their logits than the head's multiplication.
LOGIT_SETTINGS = (
    "final_logit_softcapping",
    "lm_head_multiplier",
    "logit_scale",
    "logits_scaling",
    "output_multiplier",
)


class BaseDivergence:
    """KL(base || policy) of a model that is still the base when this is made.

    Keeps a copy of the trainable weights. Raises DataError for models that scale or cap their
    logits.
    """

    def __init__(self, model: Any) -> None:
        config = causal_of(model).config.get_text_config().to_dict()
        for name in LOGIT_SETTINGS:
            if config.get(name) not in (None, 1, 1.0):
                raise DataError(
                    f"the divergence from the base is not computed for models with {name}"
                    f" ({config[name]}): take a method without it, such as dft"
                )
        self._base = Snapshot(model)

    def base_states(self, model: Any, batch: Batch) -> Tensor:
        """The base's last hidden states, (rows, time, width). To be called without gradient."""
        with self._base.in_place(model):
            output = causal_of(model).base_model(
                input_ids=batch.tokens, attention_mask=batch.attention_mask, use_cache=False
            )
        states: Tensor = output.last_hidden_state
        return states

    @contextmanager
    def watched(self, model: Any) -> Iterator[list[Tensor]]:
        """Collects the last hidden states of every forward pass made inside the block."""
        seen: list[Tensor] = []

        def keep(module: Any, inputs: Any, output: Any) -> None:
            seen.append(output.last_hidden_state)

        handle = causal_of(model).base_model.register_forward_hook(keep)
        try:
            yield seen
        finally:
            handle.remove()

    def between(self, model: Any, base_states: Tensor, states: Tensor, batch: Batch) -> Tensor:
        """(rows, time - 1): the divergence in nats where the mask is 1, else 0."""
        trained = batch.mask > 0
        head = causal_of(model).get_output_embeddings()
        base_head = self._base_parameters(model, head)

        def of_chunk(chunk: Tensor, base_chunk: Tensor) -> Tensor:
            with torch.no_grad():
                base_logits = functional_call(head, base_head, (base_chunk,))
            return base_divergence(head(chunk), base_logits)

        own, base = states[:, :-1][trained], base_states[:, :-1][trained]
        parts = [
            checkpoint(of_chunk, own[i : i + _CHUNK], base[i : i + _CHUNK], use_reentrant=False)
            for i in range(0, len(own), _CHUNK)
        ]
        return torch.zeros_like(batch.mask).masked_scatter(trained, torch.cat(parts))

    def _base_parameters(self, model: Any, head: Any) -> dict[str, Tensor]:
        """The head's weights as the base has them, those that are trained at all."""
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        found = {
            name: self._base.get(names[id(parameter)])
            for name, parameter in head.named_parameters()
        }
        return {name: tensor for name, tensor in found.items() if tensor is not None}
