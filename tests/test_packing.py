"""Rows end to end are read as each by itself, and a leak between them is seen."""

import random

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

from data_gen.types import DataError
from offline_rl.batches import collate
from offline_rl.model import load_policy, save_policy
from offline_rl.packing import Packing, _not_wanted, lay, leak
from offline_rl.training_settings import Lora, TrainingSettings
from offline_rl.varlen import boundaries
from tests.training_parts import (
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
PACKED, PADDED = ({"packing": packed} for packed in (True, False))


@pytest.fixture(scope="module")
def rollouts(random_model):
    return twelve_problems(random_model)


@pytest.fixture
def policy(random_model):
    return load_policy(random_model, None, TrainingSettings()).eval()


def padded(lengths, seed=0):
    """Random tokens, and an attention mask that is 1 at the first ones of every row."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, 200, (len(lengths), max(lengths)), generator=generator)
    attention = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return tokens * attention, attention


LENGTHS = [(12, 3, 5, 1, 1, 9, 2), (30, 7, 7, 7, 8), (2, 1, 1)]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize(
    ("attention", "one_row"),
    [("sdpa", False), ("sdpa", True), ("eager", False), ("eager", True), ("varlen", True)],
)
def test_packed_hidden_states_are_those_of_every_row_by_itself(
    lengths, attention, one_row, random_model, monkeypatch
):
    policy = load_policy(random_model, None, TrainingSettings(attention=attention)).eval()
    monkeypatch.setattr("offline_rl.packing._one_row", lambda _: one_row)
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


# Averaged over tokens, and over pairs; with a lagging policy, the base's divergence, companions.
@pytest.mark.parametrize("kind", ["rft", "dft", "iw_sft", "psft", "asft", "dpo", "simpo", "kto"])
def test_packed_gradients_are_those_of_padded_rows(kind, random_model, rollouts, tmp_path):
    padded, packed = (
        make_trainer(kind, random_model, rollouts, tmp_path / name, how=how)
        for name, how in (("padded", PADDED), ("packed", PACKED))
    )
    assert_equal_gradients(gradients_of_step(packed), gradients_of_step(padded))
    assert packed.packing.passes > 0
    assert padded.packing.passes == 0


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
    policy = load_policy(random_model, None, TrainingSettings(attention="varlen")).eval()
    assert leak(policy) == ""
    unchanged = policy.base_model.forward
    policy.base_model.forward = lambda **inputs: unchanged(**without_boundaries(inputs))
    assert leak(policy).startswith("texts in one row leak into each other")


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


@pytest.mark.parametrize("attention", ["sdpa", "varlen"])
def test_sampling_goes_past_packing(attention, policy, random_model):
    packed = load_policy(random_model, None, TrainingSettings(attention=attention)).eval()
    packing = Packing(packed, True, Accelerator(cpu=True))
    tokens, mask = padded([9, 4, 3])
    told = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    inputs = {"input_ids": tokens.flip(1), "attention_mask": mask.flip(1)}
    assert torch.equal(packed.generate(**inputs, **told), policy.generate(**inputs, **told))
    packed.base_model(**inputs, use_cache=False)
    assert packing.passes == 0


def test_the_attention_of_training_is_not_saved_with_the_policy(random_model, tmp_path):
    policy = load_policy(random_model, None, TrainingSettings(attention="varlen"))
    save_policy(policy, str(tmp_path))
    assert "varlen" not in (tmp_path / "config.json").read_text()


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


def test_layers_that_look_ahead_are_padded(random_model):
    policy = load_policy(random_model, None, TrainingSettings(attention="varlen"))
    policy.base_model.layers[1].self_attn.is_causal = False
    packing = Packing(policy, "auto", Accelerator(cpu=True))
    assert packing.reason == "the model takes no positions (varlen attention looks back alone)"


def test_a_model_whose_layers_want_more_of_a_mask_is_refused(tmp_path):
    config = BloomConfig(vocab_size=200, hidden_size=16, n_layer=1, n_head=2, bos_token_id=None)
    BloomForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(DataError, match=r"training\.attention: no varlen for BloomForCausalLM"):
        load_policy(str(tmp_path), None, TrainingSettings(attention="varlen"))
