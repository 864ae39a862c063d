"""Rows end to end are read as each by itself."""

import random

import pytest
import torch
from accelerate import Accelerator

from data_gen.model_ref import ModelRef
from offline_rl.batch import collate
from offline_rl.settings.training import Lora, TrainingSettings
from offline_rl.training.model import load_policy
from offline_rl.training.packing import Packing, _not_wanted, lay
from tests.helpers.packing import PACKED, PADDED, padded
from tests.helpers.training import (
    assert_equal_gradients,
    gradients_of_step,
    make_trainer,
    twelve_problems,
)


@pytest.fixture(scope="module")
def rollouts(random_model):
    return twelve_problems(random_model)


@pytest.fixture
def policy(random_model):
    return load_policy(ModelRef(random_model), TrainingSettings()).eval()


LENGTHS = [(12, 3, 5, 1, 1, 9, 2), (30, 7, 7, 7, 8), (2, 1, 1)]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize(
    ("attention", "one_row"),
    [("sdpa", False), ("sdpa", True), ("eager", False), ("eager", True), ("varlen", True)],
)
def test_packed_hidden_states_are_those_of_every_row_by_itself(
    lengths, attention, one_row, random_model, monkeypatch
):
    policy = load_policy(ModelRef(random_model), TrainingSettings(attention=attention)).eval()
    monkeypatch.setattr("offline_rl.training.packing._one_row", lambda _: one_row)
    tokens, mask = padded(lengths)
    with torch.no_grad():
        alone = [
            policy.base_model(input_ids=row[None, :length], use_cache=False).last_hidden_state[0]
            for row, length in zip(tokens, lengths, strict=True)
        ]
        packing = Packing(policy, True, Accelerator(cpu=True))
        together = policy.base_model(
            input_ids=tokens, attention_mask=mask, use_cache=False
        ).last_hidden_state
    assert packing.passes == 1
    assert together.shape[:2] == tokens.shape
    for row, states in zip(together, alone, strict=True):
        torch.testing.assert_close(row[: len(states)], states, atol=1e-5, rtol=1e-5)
        assert not row[len(states) :].any()


# Averaged over tokens, and over pairs; with a lagging policy, the base's divergence, a step's mean.
@pytest.mark.parametrize("kind", ["rft", "dft", "iw_sft", "psft", "asft", "dpo", "simpo", "kto"])
def test_packed_gradients_are_those_of_padded_rows(kind, random_model, rollouts, tmp_path):
    padded, packed = (
        make_trainer(kind, random_model, rollouts, tmp_path / name, how=how)
        for name, how in (("padded", PADDED), ("packed", PACKED))
    )
    assert_equal_gradients(gradients_of_step(packed), gradients_of_step(padded))
    assert packed.packing.passes > 0
    assert padded.packing.passes == 0


@pytest.mark.parametrize("head", ["chunked", "trl", "plain"])
@pytest.mark.parametrize("lora", [None, Lora(rank=2)], ids=["whole", "adapters"])
@pytest.mark.parametrize("kind", ["rft", "dpo"])
def test_every_head_scores_packed_rows_as_padded_ones(
    head, lora, kind, random_model, rollouts, tmp_path
):
    scores, gradients = [], []
    for how in (PACKED, PADDED):
        torch.manual_seed(0)
        trainer = make_trainer(
            kind, random_model, rollouts, tmp_path, lora=lora, how={**how, "head": head}
        )
        batch = collate(trainer._examples, trainer.args.device)
        with torch.no_grad():
            scores.append(trainer._head(trainer.model.eval(), batch).log_probs)
        assert (trainer.packing.passes > 0) == how["packing"]
        gradients.append(gradients_of_step(trainer))
    torch.testing.assert_close(*scores, atol=1e-5, rtol=1e-5)
    assert_equal_gradients(*gradients)


@pytest.mark.parametrize("attention", ["sdpa", "varlen"])
def test_sampling_goes_past_packing(attention, policy, random_model):
    packed = load_policy(ModelRef(random_model), TrainingSettings(attention=attention)).eval()
    packing = Packing(packed, True, Accelerator(cpu=True))
    tokens, mask = padded([9, 4, 3])
    told = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    inputs = {"input_ids": tokens.flip(1), "attention_mask": mask.flip(1)}
    assert torch.equal(packed.generate(**inputs, **told), policy.generate(**inputs, **told))
    packed.base_model(**inputs, use_cache=False)
    assert packing.passes == 0


@pytest.mark.parametrize("one_row", [False, True])
def test_rows_are_laid_whole_and_apart_in_no_more_room_than_padding_takes(one_row):
    chance = random.Random(0)
    for _ in range(200):
        lengths = [chance.randint(1, 20) for _ in range(chance.randint(1, 9))]
        _, attention = padded(lengths)
        layout = lay(attention, one_row=one_row)
        if layout is None:
            assert one_row is False or len(set(lengths)) == 1
            continue
        size = layout.rows * layout.width
        assert size < attention.numel()
        assert not one_row or (layout.rows, layout.width) == (1, sum(lengths))
        assert layout.places.unique().numel() == sum(lengths)
        assert layout.places.min() >= 0
        assert layout.places.max() < size
        for places, positions in zip(
            layout.places.split(lengths), layout.positions.split(lengths), strict=True
        ):
            assert positions.tolist() == list(range(len(places)))
            assert (places - positions).unique().numel() == 1
            assert (places // layout.width).unique().numel() == 1


@pytest.mark.parametrize(
    ("packed", "kind", "device", "left"),
    [
        (False, "varlen", "cuda", "training.packing is false"),
        ("auto", "sdpa", "cuda", "masks of packed rows cost a GPU more than padding"),
        ("auto", "varlen", "cuda", ""),
        ("auto", "flash_attention_2", "cuda", ""),
        ("auto", "sdpa", "cpu", ""),
        (True, "sdpa", "cuda", ""),
    ],
)
def test_rows_that_need_a_mask_are_packed_on_a_gpu_only_if_asked_for(packed, kind, device, left):
    assert _not_wanted(packed, kind, device).startswith(left)
    assert bool(_not_wanted(packed, kind, device)) == bool(left)
