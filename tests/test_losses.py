import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losses import (
    dft_loss,
    dpo_loss,
    importance_weights,
    iw_sft_loss,
    nll_loss,
    sequence_logps,
    token_logps,
)


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, 7, dtype=torch.float64, generator=generator, requires_grad=True)


@pytest.fixture
def tokens():
    return torch.randint(0, 7, (3, 5), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def mask():
    return torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 1, 1, 0]], dtype=torch.float64)


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


def test_dft_of_two_equally_likely_tokens_is_half_the_cross_entropy():
    logps = torch.full((1, 1), math.log(0.5))
    assert dft_loss(logps).item() == pytest.approx(0.5 * nll_loss(logps).item())


def test_the_gradient_of_dft_is_that_of_minus_p(logits, tokens):
    logps = token_logps(logits, tokens)
    (ours,) = torch.autograd.grad(dft_loss(logps).sum(), logits, retain_graph=True)
    (expected,) = torch.autograd.grad(-logps.exp().sum(), logits)
    torch.testing.assert_close(ours, expected)


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


def test_dpo_without_a_margin_is_ln_2():
    zero = torch.zeros(4)
    torch.testing.assert_close(dpo_loss(zero, zero, beta=0.1), torch.full((4,), math.log(2)))


def test_dpo_with_exchanged_sides_obeys_the_logistic_identity():
    chosen, rejected = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])
    there, back = dpo_loss(chosen, rejected, beta=0.7), dpo_loss(rejected, chosen, beta=0.7)
    torch.testing.assert_close((-there).exp() + (-back).exp(), torch.ones(2))


def test_dpo_stays_finite_at_huge_margins():
    loss = dpo_loss(torch.tensor([1e4, -1e4]), torch.tensor([-1e4, 1e4]), beta=1.0)
    assert loss.tolist() == [0.0, 2e4]


def test_gradients_agree_with_finite_differences(mask):
    generator = torch.Generator().manual_seed(4)
    chosen = torch.randn(5, dtype=torch.float64, generator=generator, requires_grad=True)
    rejected = torch.randn(5, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c, r: dpo_loss(c, r, beta=0.3), (chosen, rejected))
    logits = torch.randn(3, 5, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    tokens = torch.randint(0, 4, (3, 5), generator=generator)
    assert torch.autograd.gradcheck(lambda x: nll_loss(token_logps(x, tokens)) * mask, (logits,))
