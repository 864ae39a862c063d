"""Losses on accepted and rejected completions, each weighted by a number of its own."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import sigmoid


def offline_grpo_loss(
    logps: Float[Tensor, "b t"], advantages: Float[Tensor, " b"]
) -> Float[Tensor, "b t"]:
    """Policy gradient on fixed rollouts per token: `-sg(p) A log p`, with the gradient of `-A p`.

    A is one advantage per completion. At A = 1 this is DFT.
    """
    return -logps.exp().detach() * advantages.unsqueeze(-1) * logps


def asymre_loss(
    logps: Float[Tensor, "b t"], advantages: Float[Tensor, " b"]
) -> Float[Tensor, "b t"]:
    """Asymmetric REINFORCE per token: `-A * log p` (Arnal et al., arXiv 2506.20520).

    A is the completion's reward less a baseline V. There is no importance ratio: with V at or above
    the mean reward the policy's support collapses.
    """
    return -advantages.unsqueeze(-1) * logps


def topr_loss(
    logps: Float[Tensor, "b t"],
    reference_logps: Float[Tensor, "b t"],
    accepted: Bool[Tensor, " b"],
    mask: Float[Tensor, "b t"],
    *,
    level: Literal["sum", "mean", "token"],
) -> Float[Tensor, "b t"]:
    """Tapered off-policy REINFORCE per token (Le Roux et al., arXiv 2503.14286).

    Accepted: `-log p`. Rejected: `sg(taper) * log p`, the taper being `tapers(...)`.
    """
    push_down = tapers(logps, reference_logps, mask, level=level)
    return logps * push_down.where(~accepted.unsqueeze(-1), -1.0)


def tapers(
    logps: Float[Tensor, "b t"],
    reference_logps: Float[Tensor, "b t"],
    mask: Float[Tensor, "b t"],
    *,
    level: Literal["sum", "mean", "token"],
) -> Float[Tensor, "b t"]:
    """Detached ratios of policy to behaviour policy, at most 1, one per token.

    "sum": of whole completions, the paper's own, which falls to 0 soon on long ones; "mean": the
    geometric mean over a completion's tokens; "token": each token's own.
    """
    log_ratio = (logps.detach() - reference_logps) * mask
    if level != "token":
        total = log_ratio.sum(-1, keepdim=True)
        lengths = mask.sum(-1, keepdim=True).clamp(min=1)
        log_ratio = (total if level == "sum" else total / lengths).expand_as(logps)
    return log_ratio.clamp(max=0).exp()


def rift_loss(
    logps: Float[Tensor, "b t"], accepted: Bool[Tensor, " b"], *, penalty: float
) -> Float[Tensor, "b t"]:
    """Reward-informed fine-tuning per token, token level (Liu et al., arXiv 2601.09253).

    Accepted: `-log p`. Rejected: `penalty * p`, which is bounded where `penalty * log p` is not.
    """
    return (penalty * logps.exp()).where(~accepted.unsqueeze(-1), -logps)


def kto_loss(
    log_ratio: Float[Tensor, " b"],
    accepted: Bool[Tensor, " b"],
    divergence: Float[Tensor, ""],
    *,
    beta: float,
    desirable_weight: float,
    undesirable_weight: float,
) -> Float[Tensor, " b"]:
    """Kahneman-Tversky optimisation per completion (Ethayarajh et al., arXiv 2402.01306, eq. 7).

    `log_ratio` is the completion's `log pi(y|x) - log pi_ref(y|x)` in nats, summed over its tokens.
    `divergence` estimates KL(pi || pi_ref), carries no gradient, and is taken as 0 if it is less.
    """
    reward = beta * (log_ratio - divergence.detach().clamp(min=0))
    liked = desirable_weight * (1 - sigmoid(reward))
    disliked = undesirable_weight * (1 - sigmoid(-reward))
    return liked.where(accepted, disliked)
