"""Trainings for several processes and for one, and how the weights they come to are compared."""

import json

import pytest
import torch
from safetensors.torch import load_file

from data_gen.demonstrations import demonstrations
from data_gen.model_ref import ModelRef
from data_gen.problems.sources import load_problems
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.types import Sampling
from offline_rl.methods.registry import METHODS
from offline_rl.settings.training import Launch, TrainingSettings
from offline_rl.settings.validation import Validation, ValidationSetup
from offline_rl.tiny_base import TINY_BASE
from offline_rl.training.train import train
from tests.helpers.training import SELECTION

TWO = Launch(processes=2)
# Plain steps down the gradient: weights are equal after them only if gradients were, their size
# too. Seven examples do not part evenly, and the last batch of an epoch is smaller.
QUICK = TrainingSettings(
    steps=3,
    examples_per_step=7,
    lr=1e-2,
    warmup=0.0,
    max_tokens=64,
    optimizer="sgd",
    max_grad_norm=1e6,
)
# Padded tokens of a micro-batch: some ten passes in a step, or one, which leaves a process idle.
MANY, ONE = 64, 10**6

# Steps long enough that a kill meets them at work.
LONG = QUICK.model_copy(update={"steps": 40, "checkpoint_every": 1})

# Averaged over tokens, over examples, with a mean over the whole step, with a lagging policy, with
# the base's divergence.
CASES = [
    (kind, budget, steps)
    for kind in ("rft", "iw_sft", "dpo", "kto", "psft", "asft")
    for budget, steps in ((MANY, 3), (ONE, 1))
]

# The tiny base has some answers right, other than the untrained model of the other cases.
EXAM = ValidationSetup(prompt="raw", sampling=Sampling(samples=1, max_tokens=64), verifier="exact")
HELD_OUT = {"source": "arithmetic", "split": "validation", "limit": 15}
VALIDATED = QUICK.model_copy(
    update={"validation": Validation(problems=HELD_OUT, every=1, patience=2), "max_tokens": 256}
)

SHARDED = [(kind, MANY, 3) for kind in ("rft", "dpo", "kto", "psft")]
# FSDP knows an optimiser's state by its tensors, which plain steps have none of.
CUT = QUICK.model_copy(
    update={"steps": 5, "optimizer": "adamw_torch", "tokens_per_microbatch": MANY}
)


class Stop(Exception):
    """In place of an interrupt."""


def told(random_model, training=QUICK):
    return {
        "model": ModelRef(random_model),
        "training": training,
        "selection": SELECTION,
        "seed": 0,
    }


def case(kind, budget, steps):
    settings = {"lag_steps": 2} if kind == "psft" else {}
    changes = {"tokens_per_microbatch": budget, "steps": steps}
    return METHODS[kind](**settings), QUICK.model_copy(update=changes)


def solutions():
    problems = load_problems("arithmetic", "train", limit=14)
    return list(
        demonstrations(problems, tokenizer=load_tokenizer(ModelRef(str(TINY_BASE))), style="raw")
    )


def validated(folder):
    told_all = {**told(str(TINY_BASE), VALIDATED), "setup": EXAM}
    return train(METHODS["rft"](), solutions(), folder, **told_all)


def cut(rollouts, model, folder):
    """Trains in one go, and again with an interruption after step 4, of which 3 are kept."""

    def interrupt(step, steps, values):
        if step == 4:
            raise Stop

    method = METHODS["psft"](lag_steps=2)
    train(method, rollouts, folder / "whole", **told(model, CUT))
    again = told(model, CUT.model_copy(update={"checkpoint_every": 3}))
    with pytest.raises(Stop):
        train(method, rollouts, folder / "resumed", on_log=interrupt, **again)
    steps = []
    train(method, rollouts, folder / "resumed", on_log=lambda step, *_: steps.append(step), **again)
    (folder / "steps.json").write_text(json.dumps(steps))


def weights(folder):
    return load_file(folder / "model.safetensors")


def assert_close(ours, expected, base):
    moved = max((expected[name] - base[name]).abs().max().item() for name in base)
    assert moved > 1e-5
    for name, tensor in expected.items():
        torch.testing.assert_close(ours[name], tensor, atol=1e-4 * moved, rtol=1e-6, msg=name)
