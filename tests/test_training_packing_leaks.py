"""A leak between packed rows is seen, and a model that has one is padded or refused."""

import pytest
import torch
from accelerate import Accelerator
from transformers import BloomConfig, BloomForCausalLM

from data_gen.model_ref import ModelRef
from data_gen.types import DataError
from offline_rl.settings.training import TrainingSettings
from offline_rl.training.model import load_policy
from offline_rl.training.packing import Packing, leak


@pytest.fixture
def policy(random_model):
    return load_policy(ModelRef(random_model), TrainingSettings()).eval()


def ignoring_positions():
    """A real model whose layers have attention by distance, and no sight of positions given."""
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=200, hidden_size=16, n_layer=1, n_head=2, bos_token_id=None)
    return BloomForCausalLM(config)


def test_a_model_that_lets_packed_rows_leak_is_padded_or_refused(caplog):
    model, accelerator = ignoring_positions(), Accelerator(cpu=True)
    before = model.base_model.forward
    packing = Packing(model, "auto", accelerator)
    assert packing.reason.startswith("texts in one row leak into each other")
    assert "rows are padded and not packed, since texts in one row leak" in caplog.text
    assert model.base_model.forward == before
    with pytest.raises(DataError, match=r"training\.packing: texts in one row leak .* auto or fal"):
        Packing(model, True, accelerator)


def with_mask_of_ones(inputs):
    return {**inputs, "attention_mask": torch.ones_like(inputs["input_ids"])}


def with_cache(inputs):
    return {**inputs, "use_cache": True}


def without_positions(inputs):
    return {name: value for name, value in inputs.items() if name != "position_ids"}


@pytest.mark.parametrize("change", [with_mask_of_ones, with_cache, without_positions])
def test_what_makes_packed_rows_leak_in_silence_is_seen(change, policy):
    assert leak(policy) == ""
    unchanged = policy.base_model.forward
    policy.base_model.forward = lambda **inputs: unchanged(**change(inputs))
    assert leak(policy).startswith("texts in one row leak into each other")


def without_boundaries(inputs):
    return {name: value for name, value in inputs.items() if "seq_lens" not in name}


def test_a_model_that_does_not_hand_on_where_texts_lie_is_seen(random_model):
    policy = load_policy(ModelRef(random_model), TrainingSettings(attention="varlen")).eval()
    assert leak(policy) == ""
    unchanged = policy.base_model.forward
    policy.base_model.forward = lambda **inputs: unchanged(**without_boundaries(inputs))
    assert leak(policy).startswith("texts in one row leak into each other")


def test_positions_that_run_on_are_seen(policy):
    unchanged = policy.base_model.embed_tokens.forward

    def places_seen(tokens):
        here = torch.arange(tokens.shape[1])[None, :, None]
        return unchanged(tokens) + here

    policy.base_model.embed_tokens.forward = places_seen
    assert leak(policy).startswith("positions do not start again")


def out_of_memory(**inputs):
    raise torch.OutOfMemoryError("tried to allocate 2 GiB")


def test_a_trial_that_runs_out_of_memory_is_no_reason_to_pad(policy):
    policy.base_model.forward = out_of_memory
    with pytest.raises(torch.OutOfMemoryError):
        Packing(policy, "auto", Accelerator(cpu=True))
