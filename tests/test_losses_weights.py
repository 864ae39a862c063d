"""Weights by the ratio of policy to reference: exact, blind to masked tokens, without gradient."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losses import importance_weights, iw_sft_loss, nll_loss, tapers, token_logps
from tests.helpers import loss_inputs
from tests.helpers.loss_inputs import p

logits = loss_inputs.logits
tokens = loss_inputs.tokens
mask = loss_inputs.mask


@pytest.mark.parametrize("level", ["sequence", "token"])
def test_iw_sft_on_policy_is_nll_in_value_and_gradient(logits, tokens, mask, level):
    logps = token_logps(logits, tokens)
    loss = iw_sft_loss(logps, logps.detach(), mask, level=level, temperature=1.0, clip=(0.0, 16.0))
    (ours,) = torch.autograd.grad((loss * mask).sum(), logits, retain_graph=True)
    (expected,) = torch.autograd.grad((nll_loss(logps) * mask).sum(), logits)
    torch.testing.assert_close(ours, expected)


@given(
    shift=st.floats(-3, 3),
    temperature=st.floats(0.1, 2),
    level=st.sampled_from(["sequence", "token"]),
)
@settings(deadline=None, max_examples=50)
def test_a_uniform_log_ratio_gives_its_exponential_clipped(shift, temperature, level):
    reference = torch.full((2, 4), -1.5, dtype=torch.float64)
    ones = torch.ones_like(reference)
    weights = importance_weights(
        reference + shift, reference, ones, level=level, temperature=temperature, clip=(0.2, 1.8)
    )
    expected = min(1.8, max(0.2, math.exp(temperature * shift)))
    torch.testing.assert_close(weights, torch.full_like(weights, expected))


def test_sequence_weights_do_not_see_masked_positions(mask):
    generator = torch.Generator().manual_seed(2)
    logps = -torch.rand(3, 5, dtype=torch.float64, generator=generator)
    reference = -torch.rand(3, 5, dtype=torch.float64, generator=generator)
    spoiled = torch.where(mask.bool(), reference, torch.tensor(-50.0, dtype=torch.float64))
    kwargs = {"level": "sequence", "temperature": 1.0, "clip": (0.0, 16.0)}
    torch.testing.assert_close(
        importance_weights(logps, reference, mask, **kwargs),
        importance_weights(logps, spoiled, mask, **kwargs),
    )


def test_sequence_weights_are_the_same_for_a_completion_repeated_twice():
    generator = torch.Generator().manual_seed(3)
    logps = -torch.rand(1, 6, dtype=torch.float64, generator=generator)
    reference = -torch.rand(1, 6, dtype=torch.float64, generator=generator)
    kwargs = {"level": "sequence", "temperature": 1.0, "clip": (0.0, 16.0)}
    once = importance_weights(logps, reference, torch.ones_like(logps), **kwargs)
    doubled = torch.cat([logps, logps], 1), torch.cat([reference, reference], 1)
    twice = importance_weights(*doubled, torch.ones(1, 12, dtype=torch.float64), **kwargs)
    torch.testing.assert_close(once[0, 0], twice[0, 0])


def test_weights_carry_no_gradient(logits, tokens, mask):
    logps = token_logps(logits, tokens)
    weights = importance_weights(
        logps, logps.detach() - 0.1, mask, level="token", temperature=1.0, clip=(0.2, 1.8)
    )
    assert not weights.requires_grad


def test_tapers_are_ratios_of_completions_or_tokens_and_never_above_1(mask):
    ones = torch.ones(1, 2, dtype=torch.float64)
    args = (p(0.1, 0.4), p(0.2, 0.4), ones)
    assert tapers(*args, level="sum").tolist()[0] == pytest.approx([0.5, 0.5])
    assert tapers(*args, level="mean").tolist()[0] == pytest.approx([math.sqrt(0.5)] * 2)
    assert tapers(*args, level="token").tolist()[0] == pytest.approx([0.5, 1.0])
    assert tapers(p(0.9), p(0.1), ones[:, :1], level="sum").item() == 1.0
