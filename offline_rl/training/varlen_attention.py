"""Attention over texts laid end to end in one row, by torch's own kernel for them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import signature
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

VARLEN = "varlen"
"""The name under which transformers finds it."""

_WIDEST_HEAD = 256
# torch 2.11 shares keys among queries by itself, later ones need an argument.
_SHARED = {"enable_gqa": True} if "enable_gqa" in signature(varlen_attn).parameters else {}
# What a layer may hand over besides, and what nobody here computes.
_UNKNOWN = ("softcap", "s_aux", "position_bias")

_maskless: ContextVar[bool] = ContextVar("maskless", default=False)


def boundaries(lengths: Sequence[int], device: torch.device) -> dict[str, Any]:
    """The arguments, by transformers' names, that say where the texts of one row lie."""
    ends = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)
    longest = max(lengths)
    return {
        "cu_seq_lens_q": ends,
        "cu_seq_lens_k": ends,
        "max_length_q": longest,
        "max_length_k": longest,
    }


@contextmanager
def without_mask() -> Iterator[None]:
    """Inside the block a model makes no mask; it must be given `boundaries`."""
    token = _maskless.set(True)
    try:
        yield
    finally:
        _maskless.reset(token)


def _mask(*args: Any, **kwargs: Any) -> Any:
    return None if _maskless.get() else sdpa_mask(*args, **kwargs)


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **kwargs: Any,
) -> Any:
    """As transformers calls it: heads before positions in, positions before heads out.

    Without boundaries it is transformers' way with scaled_dot_product_attention. Raises ValueError
    for a layer that wants more of its attention than a scale and a window.
    """
    if cu_seq_lens_q is None or max_length_q is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    asked = [name for name in _UNKNOWN if kwargs.get(name) is not None]
    if asked:
        raise ValueError(f"varlen attention knows no {asked[0]}")
    causal = kwargs.get("is_causal")
    if not (getattr(module, "is_causal", True) if causal is None else causal):
        raise ValueError("varlen attention looks back alone")
    # Rotary positions are float32 and leave queries and keys so, which autocast does not see.
    kind = torch.promote_types(query.dtype, value.dtype)
    if torch.is_autocast_enabled(query.device.type):
        kind = torch.get_autocast_dtype(query.device.type)
    rows = [one.to(kind)[0].transpose(0, 1) for one in (query, key, value)]
    scale, window = kwargs.get("scaling"), kwargs.get("sliding_window")
    attend = _by_kernel if _has_kernel(rows[0]) else _one_by_one
    return attend(rows, cu_seq_lens_q, max_length_q, scale, window)[None], None


def _has_kernel(query: Tensor) -> bool:
    half = query.dtype in (torch.bfloat16, torch.float16)
    return query.is_cuda and half and query.shape[-1] <= _WIDEST_HEAD


def _by_kernel(
    rows: list[Tensor], ends: Tensor, longest: int, scale: float | None, window: int | None
) -> Any:
    query, key, value = rows
    # A window of transformers' counts the token itself.
    left = -1 if window is None else window - 1
    arguments: dict[str, Any] = {"scale": scale, "window_size": (left, 0), **_SHARED}
    attended: Any = varlen_attn(query, key, value, ends, ends, longest, longest, **arguments)
    return attended


def _one_by_one(
    rows: list[Tensor], ends: Tensor, longest: int, scale: float | None, window: int | None
) -> Tensor:
    """For devices and precisions that the kernel does not know."""
    lengths = ends.diff().tolist()
    attended = []
    texts = (torch.split(one, lengths) for one in rows)
    for query, key, value in zip(*texts, strict=True):
        asking, *asked = (one.transpose(0, 1)[None] for one in (query, key, value))
        keys, values = (repeat_kv(one, asking.shape[1] // one.shape[1]) for one in asked)
        mask = None if window is None else _window(len(query), window, query.device)
        states = scaled_dot_product_attention(
            asking, keys, values, attn_mask=mask, is_causal=mask is None, scale=scale
        )
        attended.append(states[0].transpose(0, 1))
    return torch.cat(attended)


def _window(length: int, window: int, device: torch.device) -> Tensor:
    everywhere = torch.ones(length, length, dtype=torch.bool, device=device)
    return everywhere.tril() & everywhere.triu(1 - window)


AttentionInterface.register(VARLEN, _attention)
AttentionMaskInterface.register(VARLEN, _mask)
