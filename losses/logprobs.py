"""Log-probabilities of given tokens: the plain reference that faster heads are held against."""

from jaxtyping import Float, Int
from torch import Tensor


def token_logps(logits: Float[Tensor, "b t v"], tokens: Int[Tensor, "b t"]) -> Float[Tensor, "b t"]:
    """Log-probability in nats of `tokens[b, t]` under the distribution `logits[b, t]`.

    The caller shifts: `logits[:, :-1]` go with `tokens[:, 1:]`. Half-precision logits are raised
    to float32 first, since a log-softmax in bfloat16 loses a nat over a thousand tokens.
    """
    wide = logits if logits.element_size() >= 4 else logits.float()
    return wide.log_softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


def sequence_logps(logps: Float[Tensor, "b t"], mask: Float[Tensor, "b t"]) -> Float[Tensor, " b"]:
    """Log-probability in nats of each whole completion: the sum over positions where mask is 1."""
    return (logps * mask).sum(-1)


def mean_logps(logps: Float[Tensor, "b t"], mask: Float[Tensor, "b t"]) -> Float[Tensor, " b"]:
    """Mean over positions where mask is 1, in nats per token; 0 where there is none."""
    return (logps * mask).sum(-1) / mask.sum(-1).clamp(min=1)
