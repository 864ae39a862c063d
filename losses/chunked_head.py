"""Log-probabilities from the last hidden states, in chunks that never hold the full logits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 512
"""Positions whose logits are held at once, by default. Fewer make the products slow."""
# Elements that are exponentiated at once: on a CPU as many as its cache holds.
_BLOCK = {"cpu": 2**20}
_BLOCK_ELSEWHERE = 2**28
# Rows of the weight's gradient that half-precision products are raised to float32 in.
_SLAB = 8192


def head_logps(
    hidden: Float[Tensor, "n h"],
    weight: Float[Tensor, "v h"],
    tokens: Int[Tensor, " n"],
    *,
    dtype: torch.dtype,
    entropy: bool,
    chunk: int = CHUNK,
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"] | None]:
    """Log-probability in nats of `tokens[i]` under the logits `weight @ hidden[i]`.

    The backward pass computes the logits of each chunk again. `dtype` is that of the products
    (bfloat16 or wider); all else is at least float32. With `entropy` the distributions' entropies
    in nats come out too, without gradient.
    """
    if dtype == torch.float16:
        raise ValueError("float16 has no room for sums over a vocabulary: take bfloat16 or float32")
    with torch.autocast(hidden.device.type, enabled=False):
        scored: tuple[Tensor, Tensor | None] = _ChunkedLogps.apply(  # type: ignore[no-untyped-call] # torch leaves it untyped
            hidden, weight, tokens, dtype, entropy, chunk
        )
    return scored


class _ChunkedLogps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        tokens: Tensor,
        dtype: torch.dtype,
        entropy: bool,
        chunk: int,
    ) -> tuple[Tensor, Tensor | None]:
        ctx.save_for_backward(hidden, weight, tokens)
        ctx.dtype, ctx.slices = dtype, [slice(n, n + chunk) for n in range(0, len(hidden), chunk)]
        memory = _memory(hidden, weight.to(dtype), chunk)
        parts = [
            _softmax_gradient(logits, tokens[places], entropy=entropy)
            for places, _, logits in _chunks(hidden, weight.to(dtype), ctx.slices, memory)
        ]
        # What the last chunk left in memory need not be computed again.
        ctx.last = (memory, parts[-1].sums) if parts and any(ctx.needs_input_grad) else None
        logps = _joined([part.logps for part in parts], hidden)
        if not entropy:
            return logps, None
        entropies = _joined([part.entropy for part in parts if part.entropy is not None], hidden)
        ctx.mark_non_differentiable(entropies)
        return logps, entropies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        hidden, weight, tokens = ctx.saved_tensors
        narrow = weight.to(ctx.dtype)
        gradients = _Gradients(hidden, weight, ctx.needs_input_grad)
        slices, last, ctx.last = ctx.slices, ctx.last, None
        if last is None:
            memory = _memory(hidden, narrow, slices[0].stop if slices else 0)
        else:
            memory, sums = last
            *slices, places = slices
            states = hidden[places].to(narrow.dtype)
            gradients.add(places, states, memory[: len(states)], -slopes[places] / sums, narrow)
        for places, states, logits in _chunks(hidden, narrow, slices, memory):
            softmax = _softmax_gradient(logits, tokens[places], entropy=False)
            gradients.add(places, states, logits, -slopes[places] / softmax.sums, narrow)
        return (*gradients.done(), None, None, None, None)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype.itemsize >= 4 else torch.float32


def _joined(parts: list[Tensor], like: Tensor) -> Tensor:
    return torch.cat(parts) if parts else like.new_zeros(0, dtype=_wide(like.dtype))


def _memory(hidden: Tensor, weight: Tensor, chunk: int) -> Tensor:
    """For the logits of one chunk after another."""
    return weight.new_empty(min(chunk, len(hidden)), len(weight))


def _chunks(
    hidden: Tensor, weight: Tensor, slices: list[slice], memory: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Places, states and logits of one chunk after another; the logits lie in `memory`."""
    for places in slices:
        states = hidden[places].to(weight.dtype)
        yield places, states, torch.mm(states, weight.t(), out=memory[: len(states)])


@dataclass(frozen=True, slots=True)
class _Softmax:
    logps: Tensor
    sums: Tensor
    entropy: Tensor | None


def _softmax_gradient(logits: Tensor, tokens: Tensor, *, entropy: bool) -> _Softmax:
    """Puts the gradient of `-log p[token]`, times `sums`, in the place of the logits.

    With e = exp(logits less their maximum) that is e, less the sum of all e at the token. It is
    what half precision keeps well, since it rounds the small difference and not its terms.
    """
    rows, vocabulary = logits.shape
    step = max(1, _BLOCK.get(logits.device.type, _BLOCK_ELSEWHERE) // vocabulary)
    logps = logits.new_empty(rows, dtype=_wide(logits.dtype))
    sums = torch.empty_like(logps)
    entropies = torch.empty_like(logps) if entropy else None
    for start in range(0, rows, step):
        places = slice(start, start + step)
        block = logits[places]
        wide = block.to(logps.dtype)
        own = tokens[places, None]
        wide.sub_(wide.amax(-1, keepdim=True))
        log_own = wide.gather(-1, own).squeeze(-1)
        shifted = wide.clone() if entropy else None
        total = wide.exp_().sum(-1)
        logps[places] = log_own - total.log()
        sums[places] = total
        if entropies is not None and shifted is not None:
            entropies[places] = total.log() - torch.linalg.vecdot(wide, shifted) / total
        wide.scatter_add_(-1, own, -total[:, None])
        if wide is not block:
            block.copy_(wide)
    return _Softmax(logps, sums, entropies)


class _Gradients:
    """Sums up the gradients by hidden states and weight, those that are wanted."""

    def __init__(self, hidden: Tensor, weight: Tensor, wanted: tuple[bool, ...]) -> None:
        self._weight_dtype = weight.dtype
        self._hidden = torch.empty_like(hidden) if wanted[0] else None
        self._weight = torch.empty_like(weight, dtype=_wide(weight.dtype)) if wanted[1] else None
        self._begun = False

    def add(
        self, places: slice, states: Tensor, gradient: Tensor, factors: Tensor, weight: Tensor
    ) -> None:
        """Of a chunk, where the gradient by the logits is `gradient`, its rows times `factors`."""
        factors = factors[:, None]
        if self._hidden is not None:
            product = torch.mm(gradient, weight)
            self._hidden[places] = (product * factors).to(self._hidden.dtype)
        if self._weight is None:
            return
        scaled = (states * factors).to(states.dtype)
        if gradient.dtype == self._weight.dtype:
            # What is multiplied by 0 is not read, and may be anything.
            self._weight.addmm_(gradient.t(), scaled, beta=int(self._begun))
        else:
            for start in range(0, len(self._weight), _SLAB):
                slab = slice(start, start + _SLAB)
                product = torch.mm(gradient[:, slab].t(), scaled)
                held = self._weight[slab]
                held.add_(product) if self._begun else held.copy_(product)
        self._begun = True

    def done(self) -> tuple[Tensor | None, Tensor | None]:
        if self._weight is not None and not self._begun:
            self._weight.zero_()
        weight = None if self._weight is None else self._weight.to(self._weight_dtype)
        return self._hidden, weight
