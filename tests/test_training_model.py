"""A base model as it is loaded for training."""

import json
import shutil

import pytest
import torch
from transformers import (
    FalconConfig,
    FalconForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PersimmonConfig,
    PersimmonForCausalLM,
)

from data_gen.model_ref import ModelRef
from offline_rl.settings.training import TrainingSettings
from offline_rl.training.model import load_policy, save_policy


@pytest.mark.parametrize("attention", ["sdpa", "varlen", "eager"])
def test_no_layer_drops_anything_out_in_training(attention, random_model, tmp_path):
    model = shutil.copytree(random_model, tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.5}))
    policy = load_policy(ModelRef(str(model)), TrainingSettings(attention=attention)).train()
    tokens = torch.arange(1, 60)[None]
    first, second = (policy(input_ids=tokens).logits for _ in range(2))
    assert torch.equal(first, second)


SHAPE = {"vocab_size": 200, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
DROPOUT = {"hidden_dropout": 0.3, "attention_dropout": 0.2}


@pytest.mark.parametrize(
    "model",
    [
        OPTForCausalLM(OPTConfig(**SHAPE, ffn_dim=16, dropout=0.1)),
        # These read their configuration while they compute.
        FalconForCausalLM(FalconConfig(**SHAPE, **DROPOUT, parallel_attn=False)),
        PersimmonForCausalLM(PersimmonConfig(**SHAPE, **DROPOUT, intermediate_size=16)),
    ],
)
def test_no_function_drops_anything_out_in_training(model, tmp_path):
    model.save_pretrained(tmp_path / "base")
    policy = load_policy(ModelRef(str(tmp_path / "base")), TrainingSettings()).train()
    tokens = torch.arange(1, 60)[None]
    first, second = (policy(input_ids=tokens).logits for _ in range(2))
    assert torch.equal(first, second)
    save_policy(policy, str(tmp_path / "trained"))
    configs = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*/config.json"))]
    told = [{key: value for key, value in one.items() if "drop" in key} for one in configs]
    assert told[0] == told[1]
    assert any(told[0].values())
