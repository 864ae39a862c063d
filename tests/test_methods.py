"""Methods in the trainer: exact gradients however a step is cut, and laws between them."""

import pytest
import torch

from data_gen.model_ref import ModelRef
from offline_rl.batch import collate
from offline_rl.methods.registry import METHODS
from offline_rl.settings.training import TrainingSettings
from offline_rl.training.model import load_policy
from tests.helpers.training import (
    assert_equal_gradients,
    gradients,
    gradients_of_step,
    make_trainer,
    slow_loss,
    twelve_problems,
)


@pytest.fixture(scope="module")
def rollouts(random_model):
    return twelve_problems(random_model)


@pytest.fixture
def step(random_model, rollouts, tmp_path):
    """The gradients of one optimiser step of a method with settings, on chosen rollouts."""

    def gradients_of(kind, chosen=None, **settings):
        trainer = make_trainer(kind, random_model, chosen or rollouts, tmp_path, **settings)
        return gradients_of_step(trainer)

    return gradients_of


@pytest.fixture
def slow_step(random_model, rollouts, tmp_path):
    """The same for the slow float64 version."""

    def gradients_of(trainer):
        base = load_policy(ModelRef(random_model), TrainingSettings()).double()
        trainer.model.double().zero_grad()
        slow_loss(trainer, trainer.model, base).backward()
        return gradients(trainer.model)

    return gradients_of


@pytest.mark.parametrize("kind", METHODS)
def test_the_gradient_is_that_of_a_slow_float64_version(
    kind, random_model, rollouts, tmp_path, slow_step
):
    trainer = make_trainer(kind, random_model, rollouts, tmp_path)
    ours = gradients_of_step(trainer)
    assert_equal_gradients(ours, slow_step(trainer))
    if kind == "kto":
        assert trainer._auxiliary._step_mean > 1


def test_the_divergence_is_exact_over_several_chunks(
    random_model, rollouts, tmp_path, monkeypatch, slow_step
):
    monkeypatch.setattr("offline_rl.training.base_kl._CHUNK", 5)
    trainer = make_trainer("asft", random_model, rollouts, tmp_path, kl_weight=50.0)
    assert_equal_gradients(gradients_of_step(trainer), slow_step(trainer))


@pytest.mark.parametrize("kind", METHODS)
def test_the_gradient_does_not_depend_on_the_cut_into_microbatches(kind, step):
    assert_equal_gradients(step(kind, budget=1), step(kind))


@pytest.mark.parametrize("kind", METHODS)
def test_losses_do_not_depend_on_padding(kind, random_model, rollouts, tmp_path):
    trainer = make_trainer(kind, random_model, rollouts, tmp_path)
    trainer._begin_step(trainer.model, range(8))
    short, *_, longest = sorted(trainer._examples, key=lambda e: max(len(row.tokens) for row in e))

    def loss(*examples):
        batch = collate(examples, trainer.args.device)
        return trainer.compute_loss(trainer.model, batch, num_items_in_batch=1)

    with torch.no_grad():
        torch.testing.assert_close(
            loss(short, longest), loss(short) + loss(longest), rtol=1e-5, atol=1e-5
        )


# Laws between methods


def test_power_at_alpha_1_is_dft(step):
    assert_equal_gradients(step("power", alpha=1.0), step("dft"))


def test_power_near_alpha_0_is_rft(step):
    assert_equal_gradients(step("power", alpha=1e-6), step("rft"), tolerance=1e-4)


def test_asft_without_an_anchor_is_dft(step):
    assert_equal_gradients(step("asft", kl_weight=0.0), step("dft"))


def test_psft_of_an_old_policy_that_is_the_present_one_is_rft(step):
    # Refreshed before every step, the old policy is always the present one.
    assert_equal_gradients(step("psft", lag_steps=1), step("rft"))


def test_psft_learns_nothing_from_tokens_above_the_clip(step):
    inert, tight = step("rft"), step("psft", clip=(0.8, 1.0001))
    gaps = [(tight[name] - inert[name]).abs().max().item() for name in inert]
    assert max(gaps) > 1e-3 * max(gradient.abs().max().item() for gradient in inert.values())


def test_offline_grpo_with_an_advantage_of_1_is_dft(random_model, rollouts, tmp_path, step):
    right = [one for one in rollouts if one.verdict.label == "correct"]
    trainer = make_trainer("dft", random_model, right, tmp_path)
    assert all(row.signal == 1.0 for (row,) in trainer._examples)
    expected = gradients_of_step(trainer)
    trainer._method = METHODS["offline_grpo"]()
    assert_equal_gradients(gradients_of_step(trainer), expected)


@pytest.mark.parametrize("kind", ["topr", "rift"])
def test_without_wrong_rollouts_some_methods_are_rft(kind, rollouts, step):
    right = [one for one in rollouts if one.verdict.label == "correct"]
    assert_equal_gradients(step(kind, right), step("rft", right))


def test_sft_on_accepted_rollouts_is_rft(step):
    assert_equal_gradients(step("sft"), step("rft"))
