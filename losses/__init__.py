"""Offline RL losses as pure functions: tensors in, an unreduced tensor out."""

from losses.imitation import dft_loss, importance_weights, iw_sft_loss, nll_loss
from losses.logprobs import sequence_logps, token_logps
from losses.preference import dpo_loss

__all__ = [
    "dft_loss",
    "dpo_loss",
    "importance_weights",
    "iw_sft_loss",
    "nll_loss",
    "sequence_logps",
    "token_logps",
]
