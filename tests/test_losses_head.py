"""The loss head in chunks: gradients of whole logits in float64, whatever the cut, and no more."""

import pytest
import torch

from losses.chunked_head import head_logps, head_loss
from tests.helpers.loss_heads import (
    EVERY,
    HIDDEN,
    POINTWISE,
    TOKENS,
    WEIGHT,
    assert_within,
    inputs,
    numbers,
    one_pass,
    two_passes,
    whole,
)

FLOAT32 = {"dtype": torch.float32, "entropy": False}


@pytest.mark.parametrize("passes", [one_pass, two_passes])
@pytest.mark.parametrize("name", POINTWISE)
def test_gradients_are_those_of_whole_logits_in_float64(name, passes):
    total, gradients = passes(POINTWISE[name])
    expected, reference = whole(POINTWISE[name])
    torch.testing.assert_close(total.double(), expected, rtol=1e-5, atol=1e-5)
    assert_within(gradients, reference, 1e-5)


@pytest.mark.parametrize("weights", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("passes", [one_pass, two_passes])
@pytest.mark.parametrize("name", POINTWISE)
def test_bfloat16_products_keep_gradients_within_two_percent(name, passes, weights):
    _, gradients = passes(POINTWISE[name], torch.bfloat16, inputs=weights)
    assert {gradient.dtype for gradient in gradients} == {weights}
    rounded = [one.detach().bfloat16().double().requires_grad_() for one in (HIDDEN, WEIGHT)]
    _, reference = whole(POINTWISE[name], hidden=rounded[0], weight=rounded[1])
    assert_within(gradients, reference, 0.02)


@pytest.mark.parametrize("passes", [one_pass, two_passes])
@pytest.mark.parametrize("chunk", [1, 7, 50, 1000])
def test_the_cut_into_chunks_changes_rounding_alone(passes, chunk):
    total, gradients = passes(POINTWISE["dft"], torch.float64, chunk=chunk)
    expected, reference = whole(POINTWISE["dft"])
    torch.testing.assert_close(total, expected, rtol=1e-13, atol=0)
    assert_within(gradients, reference, 1e-13)


def test_two_passes_serve_losses_of_whole_sequences():
    def preference(logps, _):
        chosen, rejected = logps.view(2, -1).sum(-1)
        return -torch.nn.functional.logsigmoid(0.1 * (chosen - rejected)).view(1)

    _, gradients = two_passes(preference)
    assert_within(gradients, whole(preference)[1], 1e-5)


@pytest.mark.parametrize("chunk", [16, 25, 64])
def test_a_second_backward_pass_gives_the_same_without_what_the_first_found(chunk):
    loss, (hidden, weight) = POINTWISE["dft"], inputs(torch.float64)
    logps, _ = head_logps(hidden, weight, TOKENS, dtype=torch.float64, entropy=False, chunk=chunk)
    total = loss(logps, EVERY).sum()
    for _ in range(2):
        gradients = torch.autograd.grad(total, (hidden, weight), retain_graph=True)
        assert_within(gradients, whole(loss)[1], 1e-12)


def test_gradcheck_of_two_passes():
    hidden, weight = HIDDEN[:6].clone().requires_grad_(), WEIGHT[:9].clone().requires_grad_()
    tokens = torch.arange(6)

    def logps(hidden, weight):
        return head_logps(hidden, weight, tokens, dtype=torch.float64, entropy=False, chunk=4)[0]

    assert torch.autograd.gradcheck(logps, (hidden, weight))


def test_one_pass_has_the_slope_of_finite_differences():
    """Not by gradcheck, which goes backward through one loss several times."""
    pair = inputs(torch.float64)

    def total(hidden, weight):
        loss = POINTWISE["power"]
        return 3 * head_loss(hidden, weight, TOKENS, loss, dtype=torch.float64, entropy=False).total

    total(*pair).backward()
    for number, one in enumerate(pair):
        direction = numbers(*one.shape, seed=5)
        ends = []
        for sign in (1, -1):
            moved = [other.detach().clone() for other in pair]
            moved[number] += sign * 1e-6 * direction
            ends.append(total(*moved))
        slope = (ends[0] - ends[1]) / 2e-6
        torch.testing.assert_close(slope, (one.grad * direction).sum(), rtol=1e-6, atol=1e-6)


def test_one_pass_tells_the_values_it_learnt_by():
    hidden, weight = inputs(torch.float64)
    done = head_loss(
        hidden, weight, TOKENS, POINTWISE["power"], dtype=torch.float64, entropy=True, chunk=16
    )
    distribution = torch.distributions.Categorical(logits=hidden @ weight.T)
    logps = distribution.log_prob(TOKENS)
    torch.testing.assert_close(done.logps, logps.detach())
    torch.testing.assert_close(done.losses, POINTWISE["power"](logps, EVERY).detach())
    torch.testing.assert_close(done.entropy, distribution.entropy().detach())
    assert not any(one.requires_grad for one in (done.losses, done.logps, done.entropy))
    done.total.backward()
    with pytest.raises(RuntimeError, match="goes backward once"):
        done.total.backward()


def test_entropy_comes_with_two_passes_too():
    hidden, weight = inputs(torch.float64)
    _, entropy = head_logps(hidden, weight, TOKENS, dtype=torch.float64, entropy=True, chunk=16)
    expected = torch.distributions.Categorical(logits=hidden @ weight.T).entropy()
    torch.testing.assert_close(entropy, expected.detach())


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_side_gets_no_gradient_and_the_other_its_own(frozen):
    loss = POINTWISE["dft"]
    expected = whole(loss)[1][1 - frozen]
    for passes in (1, 2):
        pair = [one.detach() for one in inputs(torch.float64)]
        pair[1 - frozen].requires_grad_()
        settings = {"dtype": torch.float64, "entropy": False, "chunk": 16}
        if passes == 1:
            total = head_loss(*pair, TOKENS, loss, **settings).total
        else:
            total = loss(head_logps(*pair, TOKENS, **settings)[0], EVERY).sum()
        total.backward()
        assert pair[frozen].grad is None
        assert_within([pair[1 - frozen].grad], [expected], 1e-12)


def test_a_batch_without_positions_is_a_differentiable_zero():
    hidden, weight = inputs(torch.float32)
    nothing = hidden[:0], weight, TOKENS[:0]
    done = head_loss(*nothing, POINTWISE["nll"], **FLOAT32)
    (done.total + head_logps(*nothing, **FLOAT32)[0].sum()).backward()
    assert done.total == 0
    assert not hidden.grad.any()
    assert not weight.grad.any()


def test_float16_is_refused():
    hidden, weight = inputs(torch.float16)
    with pytest.raises(ValueError, match="float16 has no room"):
        head_logps(hidden, weight, TOKENS, dtype=torch.float16, entropy=False)
