"""The gap between sampler and trainer: small for the same model, found where they differ."""

import math
from dataclasses import replace

import pytest

from data_gen.collection import collect
from data_gen.model_ref import ModelRef
from data_gen.problems.sources import load_problems
from data_gen.samplers import ModelSampler
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.types import Sampling
from data_gen.verifiers.exact import ExactSettings
from offline_rl.settings.training import Lora, TrainingSettings
from offline_rl.tiny_base import TINY_BASE
from offline_rl.training.logprob_gap import behaviour_gap, drawn

MODEL = {"model": ModelRef(str(TINY_BASE))}


@pytest.fixture(scope="module")
def rollouts(transformers_engine):
    transformers_engine.load(ModelRef(str(TINY_BASE)))
    sampler = ModelSampler(transformers_engine, load_tokenizer(ModelRef(str(TINY_BASE))), "raw")
    problems = load_problems("arithmetic", "train", limit=12)
    sampling = Sampling(samples=4, max_tokens=48, temperature=0.7)
    return collect(problems, sampler, ExactSettings().open(), sampling)


def test_the_same_model_gives_the_same_log_probabilities(rollouts):
    gap = behaviour_gap(rollouts, training=TrainingSettings(), **MODEL)
    assert gap.rollouts == len(rollouts)
    assert gap.tokens == sum(len(rollout.completion.tokens) for rollout in rollouts)
    assert gap.largest_absolute_difference_nats < 1e-4
    assert gap.share_of_tokens_with_ratio_off_by_a_tenth == 0
    rounded = behaviour_gap(rollouts, training=TrainingSettings(precision="bfloat16"), **MODEL)
    assert 1e-5 < rounded.mean_absolute_difference_nats < 0.1
    adapted = behaviour_gap(rollouts, training=TrainingSettings(lora=Lora()), **MODEL)
    assert adapted == gap


def test_other_log_probabilities_are_found(rollouts):
    shift = math.log(1.2)
    shifted = [
        replace(
            rollout,
            completion=replace(
                rollout.completion,
                logps=[
                    logp - shift * (number % 4 == 0)
                    for number, logp in enumerate(rollout.completion.logps)
                ],
            ),
        )
        for rollout in rollouts
    ]
    gap = behaviour_gap(shifted, training=TrainingSettings(), **MODEL)
    off = sum(-(-len(rollout.completion.tokens) // 4) for rollout in rollouts)
    assert gap.share_of_tokens_with_ratio_off_by_a_tenth == pytest.approx(off / gap.tokens)
    assert gap.mean_difference_nats == pytest.approx(
        shift * gap.share_of_tokens_with_ratio_off_by_a_tenth, rel=1e-3
    )


def test_which_rollouts_are_drawn_depends_on_them_alone(rollouts):
    unknown = [replace(r, completion=replace(r.completion, logps=())) for r in rollouts[:8]]
    known = rollouts[8:]
    first = drawn(iter([*unknown, *known]), 10)
    assert len(first) == 10
    assert drawn(reversed(known), 10) == first
    assert len(drawn(known, 1000)) == len(known)
    assert behaviour_gap(drawn(unknown, 5), training=TrainingSettings(), **MODEL).tokens == 0
