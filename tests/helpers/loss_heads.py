"""Losses of single positions, and their gradients over whole logits and by the loss head."""

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
from losses.chunked_head import head_logps, head_loss

VOCABULARY, WIDTH, COUNT = 300, 24, 50


def numbers(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


HIDDEN = numbers(COUNT, WIDTH, seed=0)
WEIGHT = numbers(VOCABULARY, WIDTH, seed=1) * 0.3
TOKENS = torch.randint(VOCABULARY, (COUNT,), generator=torch.Generator().manual_seed(2))
# Half of the tokens are likely ones, where softmax and one-hot nearly cancel.
TOKENS[::2] = (HIDDEN @ WEIGHT.T).argmax(-1)[::2]
OTHER = -numbers(COUNT, seed=3).abs() - 3
SIGNALS = numbers(COUNT, seed=4)
ACCEPTED = SIGNALS > 0
ONES = torch.ones(COUNT, 1)


def rows(values, places):
    return values[places].unsqueeze(-1)


def position(loss):
    """A loss of (rows, time) log-probabilities, given one position as a row of one token."""

    def of_places(logps, places):
        return loss(logps.unsqueeze(-1), places).squeeze(-1)

    return of_places


POINTWISE = {
    "nll": position(lambda logp, _: nll_loss(logp)),
    "dft": position(lambda logp, _: dft_loss(logp)),
    "power": position(lambda logp, _: power_loss(logp, alpha=0.5)),
    "psft": position(
        lambda logp, at: proximal_loss(logp, rows(OTHER, at).to(logp), clip=(0.8, 1.28))
    ),
    "iw_sft": position(
        lambda logp, at: iw_sft_loss(
            logp,
            rows(OTHER, at).to(logp),
            ONES[at].to(logp),
            level="token",
            temperature=1.0,
            clip=(0.2, 1.8),
        )
    ),
    "offline_grpo": position(lambda logp, at: offline_grpo_loss(logp, SIGNALS[at].to(logp))),
    "asymre": position(lambda logp, at: asymre_loss(logp, SIGNALS[at].to(logp))),
    "rift": position(lambda logp, at: rift_loss(logp, ACCEPTED[at], penalty=0.1)),
    "topr": position(
        lambda logp, at: topr_loss(
            logp, rows(OTHER, at).to(logp), ACCEPTED[at], ONES[at].to(logp), level="token"
        )
    ),
}
EVERY = slice(0, COUNT)


def inputs(dtype):
    return [one.detach().to(dtype).requires_grad_() for one in (HIDDEN, WEIGHT)]


def whole(loss, dtype=torch.float64, hidden=None, weight=None):
    """Loss and gradients over whole logits, with torch's own log-softmax."""
    if hidden is None or weight is None:
        hidden, weight = inputs(dtype)
    logps = (hidden @ weight.T).log_softmax(-1).gather(-1, TOKENS[:, None]).squeeze(-1)
    total = loss(logps, EVERY).sum()
    return total, torch.autograd.grad(total, (hidden, weight))


def one_pass(loss, dtype=torch.float32, chunk=16, **settings):
    hidden, weight = inputs(settings.pop("inputs", dtype))
    done = head_loss(hidden, weight, TOKENS, loss, dtype=dtype, entropy=False, chunk=chunk)
    return done.total, torch.autograd.grad(done.total, (hidden, weight))


def two_passes(loss, dtype=torch.float32, chunk=16, **settings):
    hidden, weight = inputs(settings.pop("inputs", dtype))
    logps, _ = head_logps(hidden, weight, TOKENS, dtype=dtype, entropy=False, chunk=chunk)
    total = loss(logps, EVERY).sum()
    return total, torch.autograd.grad(total, (hidden, weight))


def assert_within(gradients, expected, share):
    for one, other in zip(gradients, expected, strict=True):
        gap = (one.double() - other.double()).abs().max()
        assert gap <= share * other.double().abs().max()
