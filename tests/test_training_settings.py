"""Settings of training: what transformers and peft offer, checked by name, and kept adapters."""

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from data_gen.model_ref import ModelRef
from offline_rl.methods.registry import METHODS
from offline_rl.settings.training import Lora, TrainingSettings
from offline_rl.training.model import load_policy
from offline_rl.training.train import train


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "optimizer",
            "adamw_torchh",
            r"no optimizer 'adamw_torchh' \(did you mean adamw_torch\?\)",
        ),
        ("scheduler", "cosin", r"no scheduler 'cosin' \(did you mean cosine\?\)"),
    ],
)
def test_a_name_that_transformers_does_not_know_is_refused(name, value, message):
    with pytest.raises(ValidationError, match=message):
        TrainingSettings(**{name: value})


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adafactor"},
        {"optimizer": "rmsprop", "scheduler": "polynomial"},
        {
            "scheduler": "cosine_with_min_lr",
            "scheduler_settings": {"min_lr_rate": 0.1},
        },
    ],
    ids=str,
)
def test_any_optimizer_and_scheduler_of_transformers_trains(
    settings, random_model, answered, tmp_path
):
    training = TrainingSettings(steps=3, examples_per_step=4, lr=1e-3, **settings)
    report = run(random_model, answered, tmp_path, training)
    assert report.steps == 3
    assert report.training["scheduler_settings"] == settings.get("scheduler_settings", {})


@pytest.mark.parametrize("dora", [False, True])
def test_a_kept_adapter_is_what_the_merged_weights_are_made_of(
    dora, random_model, answered, tmp_path
):
    from peft import PeftModel

    lora = Lora(rank=4, dora=dora, keep_adapter=True)
    training = TrainingSettings(steps=3, examples_per_step=4, lr=1e-2, lora=lora)
    run(random_model, answered, tmp_path, training)
    base = load_policy(ModelRef(str(random_model)), TrainingSettings())
    merged = PeftModel.from_pretrained(base, tmp_path / "adapter").merge_and_unload()
    saved = load_file(tmp_path / "model.safetensors")
    moved = 0
    for name, tensor in merged.state_dict().items():
        if name in saved:
            torch.testing.assert_close(saved[name], tensor, rtol=1e-5, atol=1e-6)
            moved += 1
    assert moved > 5
    names = set(load_file(tmp_path / "adapter" / "adapter_model.safetensors"))
    assert any("magnitude" in name for name in names) == dora


def run(model, rollouts, folder, training):
    from data_gen.selection import Selection

    return train(
        METHODS["rft"](),
        rollouts,
        folder,
        model=ModelRef(str(model)),
        training=training,
        selection=Selection(),
        seed=0,
    )


@pytest.fixture(scope="module")
def answered(random_model):
    from data_gen.demonstrations import demonstrations
    from data_gen.problems.sources import load_problems
    from data_gen.samplers.tokenizer import load_tokenizer

    problems = load_problems("arithmetic", "train", limit=8)
    tokenizer = load_tokenizer(ModelRef(str(random_model)))
    return list(demonstrations(problems, tokenizer=tokenizer, style="raw"))
