"""Losses of tokens are exact for small numbers, and their gradients as the papers have them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losses import (
    anchored_loss,
    asymre_loss,
    dft_loss,
    nll_loss,
    offline_grpo_loss,
    power_loss,
    proximal_loss,
    rift_loss,
    token_logps,
    topr_loss,
)
from tests.helpers import loss_inputs
from tests.helpers.loss_inputs import p

logits = loss_inputs.logits
tokens = loss_inputs.tokens


def test_dft_of_two_equally_likely_tokens_is_half_the_cross_entropy():
    logps = torch.full((1, 1), math.log(0.5))
    assert dft_loss(logps).item() == pytest.approx(0.5 * nll_loss(logps).item())


def test_the_gradient_of_dft_is_that_of_minus_p(logits, tokens):
    logps = token_logps(logits, tokens)
    (ours,) = torch.autograd.grad(dft_loss(logps).sum(), logits, retain_graph=True)
    (expected,) = torch.autograd.grad(-logps.exp().sum(), logits)
    torch.testing.assert_close(ours, expected)


def test_power_of_one_half_at_a_quarter_is_1():
    assert power_loss(p(0.25), alpha=0.5).item() == pytest.approx(1.0)


def test_power_stays_exact_near_alpha_0():
    assert power_loss(p(0.25), alpha=1e-12).item() == pytest.approx(math.log(4))


@given(alpha=st.floats(0.01, 4), probability=st.floats(0.001, 0.999))
@settings(deadline=None, max_examples=50)
def test_the_gradient_of_power_is_that_of_nll_times_p_to_alpha(alpha, probability):
    logps = p(probability).requires_grad_()
    (gradient,) = torch.autograd.grad(power_loss(logps, alpha=alpha).sum(), logps)
    assert gradient.item() == pytest.approx(-(probability**alpha))


@pytest.mark.parametrize(
    ("ratio", "loss", "gradient"),
    [(1.0, -1.0, -1.0), (1.2, -1.2, -1.2), (1.5, -1.28, 0.0), (0.5, -0.5, -0.5)],
)
def test_proximal_loss_is_the_ratio_and_stops_above_the_clip_alone(ratio, loss, gradient):
    logps = p(0.1 * ratio).requires_grad_()
    found = proximal_loss(logps, p(0.1), clip=(0.8, 1.28))
    assert found.item() == pytest.approx(loss)
    assert torch.autograd.grad(found.sum(), logps)[0].item() == pytest.approx(gradient)


def test_anchored_loss_is_dft_plus_the_weighted_divergence():
    found = anchored_loss(p(0.5), torch.full((1, 1), 3.0, dtype=torch.float64), kl_weight=0.1)
    assert found.item() == pytest.approx(0.5 * math.log(2) + 0.3)


def test_offline_grpo_weighs_dft_by_the_advantage(logits, tokens):
    logps = token_logps(logits, tokens)
    advantages = torch.tensor([1.0, -0.25, 0.0], dtype=torch.float64)
    torch.testing.assert_close(
        offline_grpo_loss(logps, advantages), advantages[:, None] * dft_loss(logps)
    )


def test_asymre_weighs_nll_by_the_advantage(logits, tokens):
    logps = token_logps(logits, tokens)
    advantages = torch.tensor([1.0, -0.25, 0.0], dtype=torch.float64)
    torch.testing.assert_close(
        asymre_loss(logps, advantages), advantages[:, None] * nll_loss(logps)
    )


def test_topr_lifts_the_accepted_and_lowers_the_rejected_by_the_taper():
    logps = torch.cat([p(0.1, 0.4), p(0.1, 0.4)])
    reference = torch.cat([p(0.2, 0.4), p(0.2, 0.4)])
    accepted, ones = torch.tensor([True, False]), torch.ones(2, 2, dtype=torch.float64)
    found = topr_loss(logps, reference, accepted, ones, level="sum")
    torch.testing.assert_close(found, torch.cat([-logps[:1], 0.5 * logps[1:]]))


def test_rift_is_bounded_where_a_rejected_token_grows_unlikely():
    rejected = torch.tensor([False])
    assert rift_loss(p(0.5), rejected, penalty=2.0).item() == pytest.approx(1.0)
    assert rift_loss(p(1e-300), rejected, penalty=2.0).item() == pytest.approx(0.0)
    assert rift_loss(p(0.5), ~rejected, penalty=2.0).item() == pytest.approx(math.log(2))
