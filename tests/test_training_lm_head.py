"""The trainer's head: every kind gives the same gradients, and a model gets one that fits it."""

import logging

import pytest
import torch
from accelerate import Accelerator
from transformers import Gemma2Config, Gemma2ForCausalLM, Qwen2Config, Qwen2ForCausalLM

from offline_rl.settings.training import Lora
from offline_rl.training.lm_head import LossHead
from tests.helpers.training import (
    assert_equal_gradients,
    gradients_of_step,
    make_trainer,
    twelve_problems,
)


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


@pytest.mark.parametrize("kind", ["dft", "dpo"])
def test_every_head_logs_the_same_figures_of_a_step(kind, random_model, rollouts, tmp_path):
    logged = []
    for head in ("chunked", "trl", "plain"):
        trainer = make_trainer(kind, random_model, rollouts, tmp_path, how={"head": head})
        trainer.state.logging_steps = 1
        gradients_of_step(trainer)
        logged.append({name: value for name, (value,) in trainer._metrics["train"].items()})
    assert "accepted_entropy" in logged[0]
    assert logged[0] == pytest.approx(logged[2], rel=1e-5, abs=1e-5)
    assert logged[1] == pytest.approx(logged[2], rel=1e-5, abs=1e-5)


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
