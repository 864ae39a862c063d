"""Losses that learn from a preferred and a rejected completion, one value per pair."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid


def dpo_loss(
    chosen_log_ratio: Float[Tensor, " pairs"],
    rejected_log_ratio: Float[Tensor, " pairs"],
    *,
    beta: float,
) -> Float[Tensor, " pairs"]:
    """Direct preference optimisation per pair (Rafailov et al., arXiv 2305.18290, eq. 7).

    A log-ratio is the completion's `log pi(y|x) - log pi_ref(y|x)` in nats, summed over its
    tokens. The value is ln 2 where policy and reference agree.
    """
    return -logsigmoid(beta * (chosen_log_ratio - rejected_log_ratio))


def ipo_loss(
    chosen_mean_log_ratio: Float[Tensor, " pairs"],
    rejected_mean_log_ratio: Float[Tensor, " pairs"],
    *,
    beta: float,
) -> Float[Tensor, " pairs"]:
    """Identity preference optimisation per pair (Azar et al., arXiv 2310.12036, eq. 17).

    `(margin - 1 / (2 beta))^2`, beta being the paper's tau. A log-ratio is the mean over the
    completion's tokens of `log pi - log pi_ref`, as in the authors' experiments and TRL.
    """
    return (chosen_mean_log_ratio - rejected_mean_log_ratio - 1 / (2 * beta)).square()


def simpo_loss(
    chosen_mean_logp: Float[Tensor, " pairs"],
    rejected_mean_logp: Float[Tensor, " pairs"],
    *,
    beta: float,
    gamma: float,
) -> Float[Tensor, " pairs"]:
    """Simple preference optimisation per pair (Meng et al., arXiv 2405.14734, eq. 6).

    `-log sigmoid(beta * margin - gamma)`; a side is the mean log-probability of its tokens in nats.
    """
    return -logsigmoid(beta * (chosen_mean_logp - rejected_mean_logp) - gamma)
