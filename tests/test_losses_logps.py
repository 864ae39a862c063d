"""Log-probabilities of tokens and completions, and how far two policies' are apart."""

import math

import pytest
import torch

from losses import base_divergence, mean_logps, sequence_logps, token_logps
from tests.helpers import loss_inputs

logits = loss_inputs.logits
tokens = loss_inputs.tokens
mask = loss_inputs.mask


def test_token_logps_are_the_log_of_the_softmax_entry(logits, tokens):
    logps = token_logps(logits, tokens)
    for b in range(3):
        for t in range(5):
            row = [math.exp(x) for x in logits[b, t].tolist()]
            assert logps[b, t].item() == pytest.approx(math.log(row[tokens[b, t]] / sum(row)))


def test_token_logps_of_half_precision_logits_are_computed_in_float32(logits, tokens):
    half = logits.detach().bfloat16()
    assert token_logps(half, tokens).dtype == torch.float32
    torch.testing.assert_close(token_logps(half, tokens), token_logps(half.float(), tokens))


def test_sequence_logps_ignore_masked_positions(mask):
    logps = torch.arange(15, dtype=torch.float64).view(3, 5)
    assert sequence_logps(logps, mask).tolist() == [10.0, 18.0, 36.0]


def test_mean_logps_are_sums_over_lengths_and_0_of_nothing(mask):
    logps = torch.arange(15, dtype=torch.float64).view(3, 5)
    empty = torch.zeros(3, 5, dtype=torch.float64)
    assert mean_logps(logps, mask).tolist() == [2.0, 6.0, 12.0]
    assert mean_logps(logps, empty).tolist() == [0.0, 0.0, 0.0]


def test_the_divergence_of_a_fair_from_a_biased_coin():
    fair, biased = torch.zeros(1, 2), torch.tensor([[math.log(3), 0.0]])
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert base_divergence(biased, fair).item() == pytest.approx(expected)
    assert base_divergence(fair, fair).item() == pytest.approx(0.0)


def test_the_gradient_of_the_divergence_is_policy_less_base(logits):
    """In the policy's logits; the plain computation of two softmaxes in float64."""
    base = logits.detach().flip(-1).view(-1, 7)
    policy = logits.view(-1, 7)
    (ours,) = torch.autograd.grad(base_divergence(policy, base).sum(), policy)
    torch.testing.assert_close(ours, policy.softmax(-1) - base.softmax(-1))


def test_the_divergence_of_half_precision_logits_is_computed_in_float32(logits):
    half = logits.detach().view(-1, 7).bfloat16()
    assert base_divergence(half, half.flip(-1)).dtype == torch.float32
