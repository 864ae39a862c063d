"""Losses of whole completions, in pairs or alone, are exact at small margins."""

import math

import pytest
import torch

from losses import dpo_loss, ipo_loss, kto_loss, simpo_loss


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
