"""The loss head in chunks: gradients of whole logits in float64, whatever the cut, and no more."""

import logging

import pytest
import torch
from accelerate import Accelerator
from transformers import Gemma2Config, Gemma2ForCausalLM, Qwen2Config, Qwen2ForCausalLM

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
from losses.head import head_logps, head_loss
from offline_rl.batches import collate
from offline_rl.head import LossHead
from offline_rl.methods.registry import METHODS
from offline_rl.training_settings import Lora
from tests.training_parts import (
    assert_equal_gradients,
    gradients_of_step,
    make_trainer,
    twelve_problems,
)

VOCABULARY, WIDTH, COUNT = 300, 24, 50
FLOAT32 = {"dtype": torch.float32, "entropy": False}


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


# In the trainer


@pytest.fixture(scope="module")
def rollouts(random_model):
    return twelve_problems(random_model)


def step(kind, model, rollouts, folder, head, **settings):
    torch.manual_seed(0)  # of adapters
    trainer = make_trainer(kind, model, rollouts, folder, **settings)
    trainer._head = LossHead(trainer.model, head, trainer.accelerator)
    return gradients_of_step(trainer)


@pytest.mark.parametrize("lora", [None, Lora(rank=2)])
@pytest.mark.parametrize("kind", ["dft", "psft", "asft", "dpo"])
def test_every_head_gives_the_trainer_the_same_gradients(
    kind, lora, random_model, rollouts, tmp_path
):
    chunked, trl, plain = (
        step(kind, random_model, rollouts, tmp_path, head, lora=lora)
        for head in ("chunked", "trl", "plain")
    )
    assert_equal_gradients(chunked, plain)
    assert_equal_gradients(trl, plain)


def test_a_pointwise_method_takes_one_pass_and_others_two(random_model, rollouts, tmp_path):
    taken = {}
    for kind in METHODS:
        trainer = make_trainer(kind, random_model, rollouts, tmp_path)
        trainer._begin_step(trainer.model, range(8))
        batch = collate(trainer._examples, trainer.args.device)
        scored, _ = trainer._needs.score(trainer.model, batch)
        taken[kind] = scored.loss is not None
        assert scored.log_probs.requires_grad != taken[kind]
    assert taken == {kind: METHODS[kind]().pointwise for kind in METHODS}


def tiny(config, model, **settings):
    return model(
        config(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            **settings,
        )
    )


def kind_of(model):
    return LossHead(model, "auto", Accelerator(cpu=True)).kind


def test_models_that_do_more_to_their_logits_give_them_whole_and_the_log_says_why(caplog):
    assert kind_of(tiny(Qwen2Config, Qwen2ForCausalLM)) == "chunked"
    capped = tiny(Gemma2Config, Gemma2ForCausalLM, final_logit_softcapping=3.0)
    biased = tiny(Qwen2Config, Qwen2ForCausalLM)
    biased.lm_head = torch.nn.Linear(16, 64)
    scaled = tiny(Qwen2Config, Qwen2ForCausalLM)
    original = scaled.forward

    def forward(*args, **kwargs):
        output = original(*args, **kwargs)
        output.logits = 2 * output.logits
        return output

    scaled.forward = forward
    reasons = ["final_logit_softcapping 3.0", "has a bias", "inside of Qwen2ForCausalLM"]
    for model, reason in zip((capped, biased, scaled), reasons, strict=True):
        with caplog.at_level(logging.WARNING):
            assert kind_of(model) == "plain"
        assert reason in caplog.text
        with pytest.raises(ValueError, match="chunked needs a plain head"):
            LossHead(model, "chunked", Accelerator(cpu=True))
