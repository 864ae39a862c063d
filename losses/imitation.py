"""Losses that learn from accepted completions, one value per token."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor


def nll_loss(logps: Float[Tensor, "b t"]) -> Float[Tensor, "b t"]:
    """Negative log-likelihood per token in nats: `-log p`.

    On accepted rollouts this is rejection-sampling fine-tuning (Yuan et al., arXiv 2308.01825).
    """
    return -logps


def dft_loss(logps: Float[Tensor, "b t"]) -> Float[Tensor, "b t"]:
    """Dynamic fine-tuning per token: `-sg(p) * log p` (Wu et al., arXiv 2508.05629, eq. 9).

    Its gradient is that of `-p`. The value is not the objective: it can rise while p does.
    """
    return -logps.exp().detach() * logps


def power_loss(logps: Float[Tensor, "b t"], *, alpha: float) -> Float[Tensor, "b t"]:
    """Power-family loss per token: `(1 - p^alpha) / alpha` (Li et al., arXiv 2510.00526).

    Its gradient is `-p^alpha` times that of `log p`: NLL's in the limit of alpha to 0, and DFT's at
    alpha 1. The value is the objective.
    """
    return -(alpha * logps).expm1() / alpha


def proximal_loss(
    logps: Float[Tensor, "b t"], lagged_logps: Float[Tensor, "b t"], *, clip: tuple[float, float]
) -> Float[Tensor, "b t"]:
    """Proximal SFT per token: `-min(r, clip(r))` with `r = p / p_old` (arXiv 2508.17784).

    `lagged_logps` are those of an earlier policy. Where r is above the clip nothing is learnt;
    where it is below, the minimum takes r itself. At equal policies the gradient is NLL's.
    """
    ratio = (logps - lagged_logps).exp()
    return -ratio.minimum(ratio.clamp(*clip))


def anchored_loss(
    logps: Float[Tensor, "b t"], divergence: Float[Tensor, "b t"], *, kl_weight: float
) -> Float[Tensor, "b t"]:
    """Anchored SFT per token: DFT plus `kl_weight * KL(base || policy)` (arXiv 2509.23753).

    `divergence` is `base_divergence(...)` at the same positions.
    """
    return dft_loss(logps) + kl_weight * divergence


def iw_sft_loss(
    logps: Float[Tensor, "b t"],
    reference_logps: Float[Tensor, "b t"],
    mask: Float[Tensor, "b t"],
    *,
    level: Literal["sequence", "token"],
    temperature: float,
    clip: tuple[float, float],
) -> Float[Tensor, "b t"]:
    """Importance-weighted SFT per token: `-sg(w) * log p` (Qin & Springenberg, arXiv 2507.12856).

    `w` is `importance_weights(...)`; `mask` is 1 on completion tokens and 0 elsewhere.
    """
    weights = importance_weights(
        logps, reference_logps, mask, level=level, temperature=temperature, clip=clip
    )
    return -weights * logps


def importance_weights(
    logps: Float[Tensor, "b t"],
    reference_logps: Float[Tensor, "b t"],
    mask: Float[Tensor, "b t"],
    *,
    level: Literal["sequence", "token"],
    temperature: float,
    clip: tuple[float, float],
) -> Float[Tensor, "b t"]:
    """Clipped, detached ratios of policy to reference, one per token; at equal policies they are 1.

    level "sequence": `clip(exp(temperature * mean over the completion of log(p / p_ref)))`, the
    same for every token of a row. level "token": `clip(exp(temperature * log(p / p_ref)))`.
    """
    log_ratio = (logps.detach() - reference_logps) * mask
    if level == "sequence":
        lengths = mask.sum(-1, keepdim=True).clamp(min=1)
        log_ratio = (log_ratio.sum(-1, keepdim=True) / lengths).expand_as(logps)
    return (temperature * log_ratio).exp().clamp(*clip)
