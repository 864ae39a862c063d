"""Rows of a padded batch put end to end for the model's layers, with positions that start again."""

import logging
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPast

from data_gen.types import DataError
from offline_rl.training.model import wrap_forward
from offline_rl.training.varlen_attention import VARLEN, boundaries, without_mask

logger = logging.getLogger(__name__)

Packed = bool | Literal["auto"]
# Two texts of different lengths, and how far rounding to 8 bits may move what a layer gives.
_FIRST, _SECOND = 7, 5
_ROUNDED = 0.05


class Packing:
    """Lets the inner layers of a causal model see no padding, wherever it is called without cache.

    Calls and answers stay padded batches, so nothing around the layers knows of it. Kernels for
    texts of varying lengths are given all rows as one sequence; others, which make a mask of the
    positions, are given rows no wider than the batch, so that they never do more than with padding.
    transformers makes that mask only where it gets positions, no attention mask and no cache, and
    ignores positions in silence in layers of other kinds: so it is tried out, on the model itself.

    `auto` packs unless texts were seen to leak into each other; `reason` then says so. True raises
    DataError instead. `auto` leaves it on a GPU where attention needs a mask, which takes longer
    there than padding.
    """

    def __init__(self, causal: Any, packed: Packed, accelerator: Any) -> None:
        """To be made before the model is wrapped for training."""
        self.passes = 0
        """Forward passes that were given less than their padded batch."""
        kind = _attention_of(causal)
        self.reason = _not_wanted(packed, kind, accelerator.device.type)
        if not self.reason:
            with accelerator.autocast():
                self.reason = leak(causal)
        if not self.reason:
            self._attach(causal)
        elif packed is True:
            raise DataError(f"training.packing: {self.reason}: set it to auto or false")
        elif packed:
            logger.warning("rows are padded and not packed, since %s", self.reason)
        # The kernel for packed rows leaves padded ones to sdpa.
        self.attention = "sdpa" if kind == VARLEN and self.reason else kind
        """The name of the kernel that computes attention."""

    def _attach(self, causal: Any) -> None:
        kind = _attention_of(causal)

        def packed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            padded = None if args else _padded(kwargs)
            layout = None if padded is None else lay(padded[1], one_row=_one_row(kind))
            if padded is None or layout is None:
                return forward(*args, **kwargs)
            self.passes += 1
            tokens, attention = padded
            states: Any = _read(forward, kind, *_inputs(tokens, attention, layout), layout.lengths)
            kept = attention.flatten().nonzero().squeeze(-1)
            every = states.flatten(0, 1).index_select(0, layout.places)
            grid = every.new_zeros(tokens.numel(), every.shape[-1]).index_copy(0, kept, every)
            return BaseModelOutputWithPast(last_hidden_state=grid.unflatten(0, tokens.shape))

        wrap_forward(causal.base_model, packed)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the real tokens of a batch, row by row, lie in a batch of `rows` x `width`.

    `lengths` are those of the texts, in the order in which they lie.
    """

    places: Int[Tensor, " tokens"]
    positions: Int[Tensor, " tokens"]
    rows: int
    width: int
    lengths: tuple[int, ...]


def lay(attention: Tensor, *, one_row: bool) -> Layout | None:
    """How to lay the rows of a batch end to end; None where that saves nothing.

    `attention` is 1 at real tokens, which come first in every row.
    """
    lengths = attention.sum(1).tolist()
    width = sum(lengths) if one_row else attention.shape[1]
    bins, starts = _filled(lengths, width)
    if bins * width >= attention.numel():
        return None
    counts = torch.tensor(lengths)
    first = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    positions = torch.arange(sum(lengths)) - first
    places = torch.repeat_interleave(torch.tensor(starts), counts) + positions
    device = attention.device
    lying = tuple(length for _, length in sorted(zip(starts, lengths, strict=True)))
    return Layout(places.to(device), positions.to(device), bins, width, lying)


def _filled(lengths: Sequence[int], width: int) -> tuple[int, list[int]]:
    """How many rows of a width it takes, and where each text starts: the longest go first.

    Each goes where the least room is left over.
    """
    starts, bins = [0] * len(lengths), 0
    free: list[tuple[int, int]] = []
    for text in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        found = bisect_left(free, (lengths[text], 0))
        if found == len(free):
            free.append((width, bins))
            bins += 1
        room, row = free.pop(found)
        starts[text] = row * width + width - room
        insort(free, (room - lengths[text], row))
    return bins, starts


def _inputs(tokens: Tensor, attention: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Tokens and positions. What is left free is padding whose position is 0: every one of them a
    text of its own."""
    packed, positions = (tokens.new_zeros(layout.rows * layout.width) for _ in range(2))
    packed[layout.places] = tokens[attention > 0]
    positions[layout.places] = layout.positions
    shape = (layout.rows, layout.width)
    return packed.view(shape), positions.view(shape)


def _read(
    layers: Any, kind: str, tokens: Tensor, positions: Tensor, lengths: Sequence[int]
) -> Tensor:
    """The states that the layers give, called as texts laid end to end need it."""
    inputs = {
        "input_ids": tokens,
        "position_ids": positions,
        "attention_mask": None,
        "use_cache": False,
    }
    if kind == VARLEN:
        with without_mask():
            output = layers(**inputs, **boundaries(lengths, tokens.device))
    else:
        output = layers(**inputs)
    states: Tensor = output.last_hidden_state
    return states


def _padded(kwargs: dict[str, Any]) -> tuple[Tensor, Tensor] | None:
    """Tokens and attention mask of a plain call without cache whose padding is on the right."""
    given = {name for name, value in kwargs.items() if value is not None}
    if given != {"input_ids", "attention_mask", "use_cache"} or kwargs["use_cache"]:
        return None
    tokens, attention = kwargs["input_ids"], kwargs["attention_mask"]
    if attention.shape != tokens.shape or bool((attention[:, 1:] > attention[:, :-1]).any()):
        return None
    return tokens, attention


def leak(causal: Any) -> str:
    """Why texts laid end to end would not be read as each by itself; empty if they are.

    Tried on the second of two texts: whatever the first one is, not a bit of its states may
    change, and they are those that it has alone, with a mask.
    """
    generator = torch.Generator().manual_seed(0)
    size = causal.config.get_text_config().vocab_size
    one, other, text = (
        torch.randint(size, (length,), generator=generator) for length in (_FIRST, _FIRST, _SECOND)
    )
    training = causal.training
    causal.eval()
    try:
        with torch.no_grad():
            behind, also = (_states(causal, first, text) for first in (one, other))
            alone = _alone(causal, text)
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        return f"the model takes no positions ({' '.join(str(error).split())})"
    finally:
        causal.train(training)
    kind = _attention_of(causal)
    if not torch.equal(behind, also):
        return f"texts in one row leak into each other with this model and {kind} attention"
    if not (behind - alone).abs().max() <= _ROUNDED * alone.abs().max():
        return f"positions do not start again with this model and {kind} attention"
    return ""


def _alone(causal: Any, text: Tensor) -> Tensor:
    """The states of a text as the model reads it when nothing is packed."""
    tokens = text[None].to(causal.get_output_embeddings().weight.device)
    states: Tensor = causal.base_model(
        input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False
    ).last_hidden_state
    return states[0].float()


def _states(causal: Any, *texts: Tensor) -> Tensor:
    """Of the last of some texts, laid end to end."""
    device = causal.get_output_embeddings().weight.device
    lengths = [len(text) for text in texts]
    tokens, positions = torch.cat(texts), torch.cat([torch.arange(length) for length in lengths])
    states = _read(
        causal.base_model,
        _attention_of(causal),
        tokens[None].to(device),
        positions[None].to(device),
        lengths,
    )
    return states[0, -lengths[-1] :].float()


def _not_wanted(packed: Packed, kind: str, device: str) -> str:
    if not packed:
        return "training.packing is false"
    if packed == "auto" and device == "cuda" and not _one_row(kind):
        return f"masks of packed rows cost a GPU more than padding ({kind} attention needs them)"
    return ""


def _attention_of(causal: Any) -> str:
    return str(causal.config._attn_implementation)


def _one_row(kind: str) -> bool:
    """Whether attention needs no mask: such kernels find the texts where positions restart, or are
    given them, and only in a batch of one row."""
    return kind == VARLEN or kind.startswith("flash_attention")
