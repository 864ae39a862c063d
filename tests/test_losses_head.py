"""The loss head in chunks: gradients of whole logits in float64, whatever the cut, and no more."""

import pytest
import torch

from losses.chunked_head import head_logps
from tests.helpers.loss_heads import (
    HIDDEN,
    TOKEN_LOSSES,
    TOKENS,
    WEIGHT,
    assert_within,
    chunked,
    inputs,
    whole,
)


@pytest.mark.parametrize("name", TOKEN_LOSSES)
def test_gradients_are_those_of_whole_logits_in_float64(name):
    total, gradients = chunked(TOKEN_LOSSES[name])
    expected, reference = whole(TOKEN_LOSSES[name])
    torch.testing.assert_close(total.double(), expected, rtol=1e-5, atol=1e-5)
    assert_within(gradients, reference, 1e-5)


@pytest.mark.parametrize("weights", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", TOKEN_LOSSES)
def test_bfloat16_products_keep_gradients_within_two_percent(name, weights):
    _, gradients = chunked(TOKEN_LOSSES[name], torch.bfloat16, inputs=weights)
    assert {gradient.dtype for gradient in gradients} == {weights}
    rounded = [one.detach().bfloat16().double().requires_grad_() for one in (HIDDEN, WEIGHT)]
    _, reference = whole(TOKEN_LOSSES[name], hidden=rounded[0], weight=rounded[1])
    assert_within(gradients, reference, 0.02)


@pytest.mark.parametrize("chunk", [1, 7, 50, 1000])
def test_the_cut_into_chunks_changes_rounding_alone(chunk):
    total, gradients = chunked(TOKEN_LOSSES["dft"], torch.float64, chunk=chunk)
    expected, reference = whole(TOKEN_LOSSES["dft"])
    torch.testing.assert_close(total, expected, rtol=1e-13, atol=0)
    assert_within(gradients, reference, 1e-13)


def test_it_serves_losses_of_whole_sequences():
    def preference(logps):
        chosen, rejected = logps.view(2, -1).sum(-1)
        return -torch.nn.functional.logsigmoid(0.1 * (chosen - rejected)).view(1)

    _, gradients = chunked(preference)
    assert_within(gradients, whole(preference)[1], 1e-5)


@pytest.mark.parametrize("chunk", [16, 25, 64])
def test_a_second_backward_pass_gives_the_same_without_what_the_first_found(chunk):
    loss, (hidden, weight) = TOKEN_LOSSES["dft"], inputs(torch.float64)
    logps, _ = head_logps(hidden, weight, TOKENS, dtype=torch.float64, entropy=False, chunk=chunk)
    total = loss(logps).sum()
    for _ in range(2):
        gradients = torch.autograd.grad(total, (hidden, weight), retain_graph=True)
        assert_within(gradients, whole(loss)[1], 1e-12)


def test_gradcheck():
    hidden, weight = HIDDEN[:6].clone().requires_grad_(), WEIGHT[:9].clone().requires_grad_()
    tokens = torch.arange(6)

    def logps(hidden, weight):
        return head_logps(hidden, weight, tokens, dtype=torch.float64, entropy=False, chunk=4)[0]

    assert torch.autograd.gradcheck(logps, (hidden, weight))


def test_entropies_are_those_of_whole_logits():
    hidden, weight = inputs(torch.float64)
    _, entropy = head_logps(hidden, weight, TOKENS, dtype=torch.float64, entropy=True, chunk=16)
    expected = torch.distributions.Categorical(logits=hidden @ weight.T).entropy()
    torch.testing.assert_close(entropy, expected.detach())


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_side_gets_no_gradient_and_the_other_its_own(frozen):
    loss = TOKEN_LOSSES["dft"]
    expected = whole(loss)[1][1 - frozen]
    pair = [one.detach() for one in inputs(torch.float64)]
    pair[1 - frozen].requires_grad_()
    settings = {"dtype": torch.float64, "entropy": False, "chunk": 16}
    loss(head_logps(*pair, TOKENS, **settings)[0]).sum().backward()
    assert pair[frozen].grad is None
    assert_within([pair[1 - frozen].grad], [expected], 1e-12)


def test_a_batch_without_positions_is_a_differentiable_zero():
    hidden, weight = inputs(torch.float32)
    logps, _ = head_logps(hidden[:0], weight, TOKENS[:0], dtype=torch.float32, entropy=False)
    logps.sum().backward()
    assert logps.sum() == 0
    assert not hidden.grad.any()
    assert not weight.grad.any()


def test_float16_is_refused():
    hidden, weight = inputs(torch.float16)
    with pytest.raises(ValueError, match="float16 has no room"):
        head_logps(hidden, weight, TOKENS, dtype=torch.float16, entropy=False)
