"""Attention over texts of varying lengths computes what padding would, or is not taken."""

import pytest
import torch
from accelerate import Accelerator
from transformers import (
    AttentionInterface,
    BloomConfig,
    BloomForCausalLM,
    DogeConfig,
    DogeForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from data_gen.model_ref import ModelRef
from data_gen.types import DataError
from offline_rl.settings.training import TrainingSettings
from offline_rl.training.model import load_policy, save_policy
from offline_rl.training.packing import Packing
from offline_rl.training.varlen_attention import boundaries
from tests.helpers.packing import PACKED, PADDED, padded
from tests.helpers.training import (
    assert_equal_gradients,
    gradients_of_step,
    make_trainer,
    twelve_problems,
)

SMALL = {
    "vocab_size": 200,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.fixture(scope="module")
def rollouts(random_model):
    return twelve_problems(random_model)


@pytest.mark.parametrize("again", [False, True], ids=["kept", "layers passed twice"])
@pytest.mark.parametrize("kind", ["rft", "asft", "dpo"])
def test_gradients_with_varlen_attention_are_those_of_padded_rows(
    kind, again, random_model, rollouts, tmp_path
):
    padded, packed = (
        make_trainer(kind, random_model, rollouts, tmp_path / name, how=how, attention=attention)
        for name, how, attention in (("padded", PADDED, "sdpa"), ("packed", PACKED, "varlen"))
    )
    if again:
        packed.model.gradient_checkpointing_enable({"use_reentrant": False})
    assert_equal_gradients(gradients_of_step(packed), gradients_of_step(padded))
    assert packed.packing.passes > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: set CUDA_VISIBLE_DEVICES")
@pytest.mark.parametrize("window", [None, 24])
@pytest.mark.parametrize("head_dim", [32, 64, 128])
def test_the_kernel_of_varlen_attention_has_the_gradients_of_float32(window, head_dim):
    torch.manual_seed(0)
    lengths = [5, 130, 1, 64, 33]
    told = boundaries(lengths, torch.device("cuda"))
    query, key, value = (
        torch.randn(1, heads, sum(lengths), head_dim, device="cuda") for heads in (6, 2, 2)
    )
    slope = torch.randn(1, sum(lengths), 6, head_dim, device="cuda")
    every = []
    for kind in (torch.float32, torch.bfloat16):
        leaves = [one.to(kind).requires_grad_() for one in (query, key, value)]
        attend = AttentionInterface()["varlen"]
        states, _ = attend(
            torch.nn.Module(), *leaves, None, scaling=0.1, sliding_window=window, **told
        )
        every.append([states, *torch.autograd.grad(states, leaves, slope.to(kind))])
    for exact, rounded in zip(*every, strict=True):
        assert (rounded.float() - exact).norm() < 0.01 * exact.norm()


@pytest.mark.parametrize("length", [3, 40])
def test_varlen_attention_keeps_to_a_sliding_window(length):
    torch.manual_seed(0)
    config = MistralConfig(**SMALL, sliding_window=8)
    model = MistralForCausalLM(config).eval()
    tokens, mask = padded([length, 20, 5])
    states = {}
    for kind in ("sdpa", "varlen"):
        model.set_attn_implementation(kind)
        packing = Packing(model, kind == "varlen", Accelerator(cpu=True))
        with torch.no_grad():
            inputs = {"input_ids": tokens, "attention_mask": mask, "use_cache": False}
            states[kind] = model.base_model(**inputs).last_hidden_state * mask[..., None]
        assert packing.passes == (kind == "varlen")
    torch.testing.assert_close(states["varlen"], states["sdpa"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "model", "reason"),
    [
        (
            Gemma2Config(**SMALL, head_dim=8),
            Gemma2ForCausalLM,
            "the model takes no positions (varlen attention knows no softcap)",
        ),
        # Its mask says more than where texts lie.
        (DogeConfig(**SMALL, keep_window_size=2), DogeForCausalLM, "positions do not start again"),
    ],
    ids=["softcap", "mask"],
)
def test_a_model_that_wants_more_than_varlen_attention_computes_is_padded(config, model, reason):
    torch.manual_seed(0)
    made = model(config)
    made.set_attn_implementation("varlen")
    packing = Packing(made, "auto", Accelerator(cpu=True))
    assert packing.reason.startswith(reason)
    assert packing.attention == "sdpa"


def test_the_attention_of_training_is_not_saved_with_the_policy(random_model, tmp_path):
    policy = load_policy(ModelRef(random_model), TrainingSettings(attention="varlen"))
    save_policy(policy, str(tmp_path))
    assert "varlen" not in (tmp_path / "config.json").read_text()


def test_layers_that_look_ahead_are_padded(random_model):
    policy = load_policy(ModelRef(random_model), TrainingSettings(attention="varlen"))
    policy.base_model.layers[1].self_attn.is_causal = False
    packing = Packing(policy, "auto", Accelerator(cpu=True))
    assert packing.reason == "the model takes no positions (varlen attention looks back alone)"


def test_a_model_whose_layers_want_more_of_a_mask_is_refused(tmp_path):
    config = BloomConfig(vocab_size=200, hidden_size=16, n_layer=1, n_head=2, bos_token_id=None)
    BloomForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(DataError, match=r"training\.attention: no varlen for BloomForCausalLM"):
        load_policy(ModelRef(str(tmp_path)), TrainingSettings(attention="varlen"))
