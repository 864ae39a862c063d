"""Losses of single tokens, and their gradients over whole logits and by the loss head."""

import torch

from losses import (
    asymre_loss,
    dft_loss,
    iw_sft_loss,
    nll_loss,
    offline_grpo_loss,
    power_loss,
    proximal_loss,
    rift_loss,
    topr_loss,
)
from losses.chunked_head import head_logps

VOCABULARY, WIDTH, COUNT = 300, 24, 50


def numbers(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


HIDDEN = numbers(COUNT, WIDTH, seed=0)
WEIGHT = numbers(VOCABULARY, WIDTH, seed=1) * 0.3
TOKENS = torch.randint(VOCABULARY, (COUNT,), generator=torch.Generator().manual_seed(2))
# Half of the tokens are likely ones, where softmax and one-hot nearly cancel.
TOKENS[::2] = (HIDDEN @ WEIGHT.T).argmax(-1)[::2]
OTHER = -numbers(COUNT, 1, seed=3).abs() - 3
SIGNALS = numbers(COUNT, seed=4)
ACCEPTED = SIGNALS > 0
ONES = torch.ones(COUNT, 1)


def of_tokens(loss):
    """A loss of (rows, time) log-probabilities, given every token as a row of its own."""

    def of_rows(logps):
        return loss(logps.unsqueeze(-1)).squeeze(-1)

    return of_rows


TOKEN_LOSSES = {
    "nll": of_tokens(nll_loss),
    "dft": of_tokens(dft_loss),
    "power": of_tokens(lambda logp: power_loss(logp, alpha=0.5)),
    "psft": of_tokens(lambda logp: proximal_loss(logp, OTHER.to(logp), clip=(0.8, 1.28))),
    "iw_sft": of_tokens(
        lambda logp: iw_sft_loss(
            logp, OTHER.to(logp), ONES.to(logp), level="token", temperature=1.0, clip=(0.2, 1.8)
        )
    ),
    "offline_grpo": of_tokens(lambda logp: offline_grpo_loss(logp, SIGNALS.to(logp))),
    "asymre": of_tokens(lambda logp: asymre_loss(logp, SIGNALS.to(logp))),
    "rift": of_tokens(lambda logp: rift_loss(logp, ACCEPTED, penalty=0.1)),
    "topr": of_tokens(
        lambda logp: topr_loss(logp, OTHER.to(logp), ACCEPTED, ONES.to(logp), level="token")
    ),
}


def inputs(dtype):
    return [one.detach().to(dtype).requires_grad_() for one in (HIDDEN, WEIGHT)]


def whole(loss, dtype=torch.float64, hidden=None, weight=None):
    """Loss and gradients over whole logits, with torch's own log-softmax."""
    if hidden is None or weight is None:
        hidden, weight = inputs(dtype)
    logps = (hidden @ weight.T).log_softmax(-1).gather(-1, TOKENS[:, None]).squeeze(-1)
    total = loss(logps).sum()
    return total, torch.autograd.grad(total, (hidden, weight))


def chunked(loss, dtype=torch.float32, chunk=16, **settings):
    hidden, weight = inputs(settings.pop("inputs", dtype))
    logps, _ = head_logps(hidden, weight, TOKENS, dtype=dtype, entropy=False, chunk=chunk)
    total = loss(logps).sum()
    return total, torch.autograd.grad(total, (hidden, weight))


def assert_within(gradients, expected, share):
    for one, other in zip(gradients, expected, strict=True):
        gap = (one.double() - other.double()).abs().max()
        assert gap <= share * other.double().abs().max()
