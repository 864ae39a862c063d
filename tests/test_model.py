"""A base model as it is loaded for training."""

import json
import shutil

import pytest
import torch
from transformers import OPTConfig, OPTForCausalLM

from offline_rl.model import load_policy
from offline_rl.training_settings import TrainingSettings


@pytest.mark.parametrize("attention", ["sdpa", "varlen", "eager"])
def test_no_layer_drops_anything_out_in_training(attention, random_model, tmp_path):
    model = shutil.copytree(random_model, tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.5}))
    policy = load_policy(str(model), None, TrainingSettings(attention=attention)).train()
    tokens = torch.arange(1, 60)[None]
    first, second = (policy(input_ids=tokens).logits for _ in range(2))
    assert torch.equal(first, second)


def test_no_function_drops_anything_out_in_training(tmp_path):
    config = OPTConfig(
        vocab_size=200, hidden_size=16, ffn_dim=16, num_hidden_layers=1, num_attention_heads=2
    )
    assert config.dropout > 0
    OPTForCausalLM(config).save_pretrained(tmp_path)
    policy = load_policy(str(tmp_path), None, TrainingSettings()).train()
    tokens = torch.arange(1, 60)[None]
    first, second = (policy(input_ids=tokens).logits for _ in range(2))
    assert torch.equal(first, second)
