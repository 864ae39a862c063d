"""From a batch to the log-probabilities of its tokens, where possible without the full logits."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from accelerate.utils import DistributedType
from jaxtyping import Float
from torch import Tensor

from losses import token_logps
from losses.chunked_head import head_logps
from offline_rl.batch import Batch
from offline_rl.training.base_kl import LOGIT_SETTINGS
from offline_rl.training.model import causal_of, wrap_forward

logger = logging.getLogger(__name__)

HeadKind = Literal["auto", "chunked", "trl", "plain"]
_SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED)


@dataclass(frozen=True, slots=True)
class Scored:
    """What a forward pass gives; values are float32 and zero where nothing is trained."""

    log_probs: Float[Tensor, "rows t-1"]
    entropy: Float[Tensor, "rows t-1"] | None = None


class LossHead:
    """Scores batches with a model, by chunks of logits where its last layer is a plain product.

    `auto` takes chunks on a CPU and TRL's own head, which has a kernel there, elsewhere or where
    processes share the weights. A model that does more to its logits than that product gives them
    itself, whole; the log says why. `chunked` insists on chunks, and raises ValueError for such
    a model.
    """

    def __init__(self, model: Any, kind: HeadKind, accelerator: Any) -> None:
        """TRL's head is on the model already; the model is not yet wrapped for training."""
        self.entropy = False
        causal = causal_of(model)
        with accelerator.autocast():
            reason = _not_plain(causal)
        if kind == "chunked" and reason:
            raise ValueError(f"training.head: chunked needs a plain head, and {reason}: take plain")
        self.kind = kind
        if kind == "auto":
            sharded = accelerator.distributed_type in _SHARDED
            on_cpu = accelerator.device.type == "cpu"
            self.kind = "plain" if reason else "chunked" if on_cpu and not sharded else "trl"
            if reason:
                logger.warning("whole logits are made at once, since %s", reason)
            elif sharded:
                logger.warning("TRL's head is taken, since processes share the weights")
        if self.kind == "chunked":
            _attach(causal)

    def __call__(self, model: Any, batch: Batch) -> Scored:
        """Scores the batch; `model` may be wrapped, of the model this was made for.

        With `entropy` set, passes with gradient give entropies too.
        """
        entropy = self.entropy and torch.is_grad_enabled()
        inputs = {"input_ids": batch.tokens, "attention_mask": batch.attention_mask}
        if self.kind == "chunked":
            scored: Scored = model(**inputs, batch=batch, entropy=entropy)
            return scored
        if self.kind == "trl":
            output = model(**inputs, labels=batch.labels, use_cache=False, fused_lm_head=True)
            return Scored(output.log_probs.float(), output.entropy.float() if entropy else None)
        return _plain(model(**inputs, use_cache=False).logits, batch, entropy)


def _not_plain(causal: Any) -> str:
    """Why the model's logits are more than a product with one weight; empty if they are that."""
    config = causal.config.get_text_config().to_dict()
    for name in LOGIT_SETTINGS:
        if config.get(name) not in (None, 1, 1.0):
            return f"the model has {name} {config[name]}"
    head = causal.get_output_embeddings()
    if type(head) is not torch.nn.Linear:
        return f"its last layer is a {type(head).__name__}"
    if len(list(head.parameters())) > 1:
        return "its last layer has a bias"
    if causal.base_model is causal or not _is_last(causal, head):
        return f"the inside of {type(causal).__name__} is not known"
    return ""


def _is_last(causal: Any, head: Any) -> bool:
    """Whether the logits are the head's product with the states, tried on one token."""
    device = head.weight.device
    tokens = torch.zeros(1, 1, dtype=torch.long, device=device)
    training = causal.training
    causal.eval()
    try:
        with torch.no_grad():
            states = causal.base_model(input_ids=tokens, use_cache=False).last_hidden_state
            logits = causal(input_ids=tokens, use_cache=False).logits
            return torch.allclose(head(states).float(), logits.float(), rtol=1e-3, atol=1e-4)
    finally:
        causal.train(training)


def _attach(causal: Any) -> None:
    """Lets a forward pass take a `batch`, and return its log-probabilities instead of logits.

    They are computed inside the pass, where autocast is on and wrappers around the model see it.
    """

    def scored(
        forward: Callable[..., Any],
        *args: Any,
        batch: Batch | None = None,
        entropy: bool = False,
        **kwargs: Any,
    ) -> Any:
        if batch is None:
            return forward(*args, **kwargs)
        states = causal.base_model(*args, **kwargs, use_cache=False).last_hidden_state
        return _chunked(states, causal.get_output_embeddings().weight, batch, entropy)

    wrap_forward(causal, scored)


def _chunked(states: Tensor, weight: Tensor, batch: Batch, entropy: bool) -> Scored:
    device = states.device.type
    autocast = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if autocast else weight.dtype
    trained = (batch.mask > 0).flatten().nonzero().squeeze(-1)
    hidden = states[:, :-1].flatten(0, 1).index_select(0, trained)
    tokens = batch.tokens[:, 1:].flatten()[trained]

    def grid(values: Tensor) -> Tensor:
        # Not of the mask's type: a float64 model is scored in float64.
        empty = values.new_zeros(batch.mask.numel())
        return empty.index_copy(0, trained, values).view_as(batch.mask)

    logps, entropies = head_logps(hidden, weight, tokens, dtype=dtype, entropy=entropy)
    return Scored(grid(logps), None if entropies is None else grid(entropies))


def _plain(logits: Tensor, batch: Batch, entropy: bool) -> Scored:
    logits = logits[:, :-1]
    logps = token_logps(logits, batch.tokens[:, 1:]) * batch.mask
    if not entropy:
        return Scored(logps)
    with torch.no_grad():
        every = logits.float().log_softmax(-1)
        return Scored(logps, -(every.exp() * every).sum(-1) * batch.mask)
