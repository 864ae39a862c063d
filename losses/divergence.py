"""How far the policy's next-token distribution lies from the base model's."""

from jaxtyping import Float
from torch import Tensor


def base_divergence(
    logits: Float[Tensor, "n v"], base_logits: Float[Tensor, "n v"]
) -> Float[Tensor, " n"]:
    """KL(base || policy) in nats over the whole vocabulary, one value per position.

    Half-precision logits are raised to float32 first.
    """
    policy, base = (
        (one if one.element_size() >= 4 else one.float()).log_softmax(-1)
        for one in (logits, base_logits)
    )
    return (base.exp() * (base - policy)).sum(-1)
