"""Killed training goes on to the same weights; memory that runs out is told with a remedy."""

import random
from pathlib import Path

import pytest
import torch

from data_gen.model_ref import ModelRef
from offline_rl.methods.psft import Psft
from offline_rl.methods.rft import Rft
from offline_rl.settings.training import Lora, TrainingSettings
from offline_rl.training.out_of_memory import OutOfMemory
from offline_rl.training.train import train
from tests.helpers.faults import train_with_kills
from tests.helpers.training import SELECTION, twelve_problems

STEPS = 30
TRAINING = TrainingSettings(
    steps=STEPS, examples_per_step=8, lr=1e-3, warmup=0.0, max_tokens=64, checkpoint_every=1
)


def trained(rollouts, model, folder, on_log=None):
    told = {"model": ModelRef(model), "training": TRAINING, "selection": SELECTION, "seed": 0}
    return train(Psft(lag_steps=4), rollouts, Path(folder), on_log=on_log, **told)


def train_and_tell(arguments, pipe):
    model, folder = arguments
    tell = {"on_log": lambda step, *_: print(step, file=pipe)}
    trained(twelve_problems(model), model, folder, **tell)


def test_training_killed_at_ten_random_moments_gives_the_same_weights(random_model, warm, tmp_path):
    trained(twelve_problems(random_model), random_model, tmp_path / "whole")
    killed = train_with_kills(
        *(warm, "tests.test_training_crash:train_and_tell"),
        *([random_model, tmp_path / "killed"], tmp_path),
        # Not the last ones, which would leave a kill that comes late nothing to meet.
        steps=sorted(random.Random(0).sample(range(2, STEPS - 3), 10)),
        # While it takes the next step, or writes the checkpoint of this one.
        delay=0.03,
    )
    assert killed == 10
    files = [tmp_path / name / "model.safetensors" for name in ("whole", "killed")]
    assert files[0].read_bytes() == files[1].read_bytes()


SPENT = {
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore."),
    "python": MemoryError(),
    "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate"),
}


@pytest.mark.parametrize("kind", SPENT)
def test_out_of_memory_names_the_settings_to_lower(kind, random_model, tmp_path):
    class Greedy(Rft):
        def loss(self, logps, batch):
            raise SPENT[kind]

    rollouts = twelve_problems(random_model)
    told = {"model": ModelRef(random_model), "selection": SELECTION, "seed": 0}
    training = TRAINING.model_copy(update={"tokens_per_microbatch": 512})
    with pytest.raises(OutOfMemory) as caught:
        train(Greedy(), rollouts, tmp_path, training=training, **told)
    message = str(caught.value)
    assert "\n" not in message
    assert "tokens_per_microbatch (512)" in message
    for name in ("gradient_checkpointing", "bfloat16", "training.lora", "max_tokens, now 64"):
        assert name in message
    modest = training.model_copy(update={"lora": Lora(), "precision": "bfloat16"})
    with pytest.raises(OutOfMemory) as caught:
        train(Greedy(), rollouts, tmp_path, training=modest, **told)
    assert "bfloat16" not in str(caught.value)
    assert "training.lora" not in str(caught.value)


def test_another_error_stays_what_it_is(random_model, tmp_path):
    class Wrong(Rft):
        def loss(self, logps, batch):
            raise RuntimeError("shapes do not match")

    told = {
        "model": ModelRef(random_model),
        "training": TRAINING,
        "selection": SELECTION,
        "seed": 0,
    }
    with pytest.raises(RuntimeError, match=r"^shapes do not match$"):
        train(Wrong(), twelve_problems(random_model), tmp_path, **told)
