"""Gradients of losses agree with finite differences, where the value is the objective."""

import pytest
import torch

from losses import (
    asymre_loss,
    base_divergence,
    dpo_loss,
    ipo_loss,
    kto_loss,
    nll_loss,
    power_loss,
    proximal_loss,
    rift_loss,
    simpo_loss,
    token_logps,
)
from tests.helpers import loss_inputs

logits = loss_inputs.logits
tokens = loss_inputs.tokens
mask = loss_inputs.mask

PAIR_LOSSES = {
    "dpo": lambda c, r: dpo_loss(c, r, beta=0.3),
    "ipo": lambda c, r: ipo_loss(c, r, beta=0.3),
    "simpo": lambda c, r: simpo_loss(c, r, beta=2.0, gamma=1.0),
    "kto": lambda c, r: kto_loss(
        torch.cat([c, r]),
        torch.tensor([True] * 5 + [False] * 5),
        torch.tensor(0.2, dtype=torch.float64),
        beta=0.3,
        desirable_weight=1.5,
        undesirable_weight=0.5,
    ),
}


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_sequence_losses_agree_with_finite_differences(name):
    generator = torch.Generator().manual_seed(4)
    sides = [torch.randn(5, dtype=torch.float64, generator=generator) for _ in range(2)]
    inputs = tuple(side.requires_grad_() for side in sides)
    assert torch.autograd.gradcheck(PAIR_LOSSES[name], inputs)


ACCEPTED = torch.tensor([True, False, True])
# Those whose value is the objective: weights behind a stop-gradient have no finite differences.
TOKEN_LOSSES = {
    "nll": nll_loss,
    "power": lambda logps: power_loss(logps, alpha=0.7),
    "proximal": lambda logps: proximal_loss(logps, torch.full_like(logps, -1.5), clip=(0.8, 1.28)),
    "asymre": lambda logps: asymre_loss(logps, torch.tensor([0.6, -0.4, 0.1]).double()),
    "rift": lambda logps: rift_loss(logps, ACCEPTED, penalty=0.5),
}


@pytest.mark.parametrize("name", TOKEN_LOSSES)
def test_token_losses_agree_with_finite_differences(name, logits, tokens, mask):
    def loss(x):
        return TOKEN_LOSSES[name](token_logps(x, tokens)) * mask

    assert torch.autograd.gradcheck(loss, (logits,))


def test_the_divergence_agrees_with_finite_differences(logits):
    base = logits.detach().flip(-1).view(-1, 7)
    policy = logits.detach().clone().view(-1, 7).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: base_divergence(x, base), (policy,))
