"""Offline RL losses as pure functions: tensors in, an unreduced tensor out."""

from losses.divergence import base_divergence
from losses.imitation import (
    anchored_loss,
    dft_loss,
    importance_weights,
    iw_sft_loss,
    nll_loss,
    power_loss,
    proximal_loss,
)
from losses.logprobs import mean_logps, sequence_logps, token_logps
from losses.outcome import asymre_loss, kto_loss, offline_grpo_loss, rift_loss, tapers, topr_loss
from losses.preference import dpo_loss, ipo_loss, simpo_loss

__all__ = [
    "anchored_loss",
    "asymre_loss",
    "base_divergence",
    "dft_loss",
    "dpo_loss",
    "importance_weights",
    "ipo_loss",
    "iw_sft_loss",
    "kto_loss",
    "mean_logps",
    "nll_loss",
    "offline_grpo_loss",
    "power_loss",
    "proximal_loss",
    "rift_loss",
    "sequence_logps",
    "simpo_loss",
    "tapers",
    "token_logps",
    "topr_loss",
]
