import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losses import (
    anchored_loss,
    asymre_loss,
    base_divergence,
    dft_loss,
    dpo_loss,
    importance_weights,
    ipo_loss,
    iw_sft_loss,
    kto_loss,
    mean_logps,
    nll_loss,
    offline_grpo_loss,
    power_loss,
    proximal_loss,
    rift_loss,
    sequence_logps,
    simpo_loss,
    tapers,
    token_logps,
    topr_loss,
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


def test_mean_logps_are_sums_over_lengths_and_0_of_nothing(mask):
    logps = torch.arange(15, dtype=torch.float64).view(3, 5)
    empty = torch.zeros(3, 5, dtype=torch.float64)
    assert mean_logps(logps, mask).tolist() == [2.0, 6.0, 12.0]
    assert mean_logps(logps, empty).tolist() == [0.0, 0.0, 0.0]


def p(*values):
    """Log-probabilities of one completion whose tokens have these probabilities."""
    return torch.tensor([values], dtype=torch.float64).log()


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


def test_tapers_are_ratios_of_completions_or_tokens_and_never_above_1(mask):
    ones = torch.ones(1, 2, dtype=torch.float64)
    args = (p(0.1, 0.4), p(0.2, 0.4), ones)
    assert tapers(*args, level="sum").tolist()[0] == pytest.approx([0.5, 0.5])
    assert tapers(*args, level="mean").tolist()[0] == pytest.approx([math.sqrt(0.5)] * 2)
    assert tapers(*args, level="token").tolist()[0] == pytest.approx([0.5, 1.0])
    assert tapers(p(0.9), p(0.1), ones[:, :1], level="sum").item() == 1.0


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


def test_kto_at_the_divergence_is_half_its_weight_and_a_negative_one_counts_as_0():
    kwargs = {"beta": 0.3, "desirable_weight": 1.5, "undesirable_weight": 0.5}
    both = torch.tensor([True, False])
    at = kto_loss(torch.tensor([2.0, 2.0]), both, torch.tensor(2.0), **kwargs)
    torch.testing.assert_close(at, torch.tensor([0.75, 0.25]))
    zero = kto_loss(torch.tensor([0.0, 0.0]), both, torch.tensor(-5.0), **kwargs)
    torch.testing.assert_close(zero, torch.tensor([0.75, 0.25]))


def test_kto_with_equal_weights_and_exchanged_labels_sums_to_1():
    ratios, label = torch.tensor([1.0, -3.0]), torch.tensor([True, True])
    kwargs = {"beta": 0.3, "desirable_weight": 1.0, "undesirable_weight": 1.0}
    there = kto_loss(ratios, label, torch.tensor(0.5), **kwargs)
    back = kto_loss(ratios, ~label, torch.tensor(0.5), **kwargs)
    torch.testing.assert_close(there + back, torch.ones(2))


def test_ipo_is_0_at_its_target_margin_and_its_square_at_none():
    found = ipo_loss(torch.tensor([5.0, 1.0]), torch.tensor([0.0, 1.0]), beta=0.1)
    torch.testing.assert_close(found, torch.tensor([0.0, 25.0]))


def test_simpo_is_ln_2_at_its_target_margin():
    found = simpo_loss(torch.tensor([-1.0]), torch.tensor([-1.5]), beta=2.0, gamma=1.0)
    assert found.item() == pytest.approx(math.log(2))


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
