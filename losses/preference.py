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
