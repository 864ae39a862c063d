"""Samplers: a sample is a function of model, settings, prompt and its own seed alone."""

import json
import logging
import shutil
from dataclasses import replace
from itertools import chain
from pathlib import Path

import psutil
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from data_gen.cluster import ClusterSettings
from data_gen.model_ref import ModelRef
from data_gen.samplers import (
    AutoSettings,
    EngineError,
    ModelSampler,
    TransformersSettings,
    VllmSettings,
    start_engine,
)
from data_gen.samplers.base import Request, request_seed
from data_gen.samplers.replica import cause
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.samplers.vllm import device_shares
from data_gen.types import Problem, Sampling
from offline_rl.progress import Silent
from offline_rl.stages.engines import Engines
from offline_rl.tiny_base import TINY_BASE

pytestmark = pytest.mark.xdist_group("vllm")

EOS = 0


@pytest.fixture(scope="module", params=["vllm", "transformers"])
def engine(request, random_model):
    engine = request.getfixturevalue(f"{request.param}_engine")
    engine.load(ModelRef(random_model))
    return engine


def requests(count, seed=0):
    """Prompts of different lengths, each with its own seed."""
    return [Request(tuple(range(40, 50 + 3 * i)), seed + 1000 * i) for i in range(count)]


def same(engine, one, other):
    """Equal to the bit with vLLM; padding changes the last bits of transformers' logps."""
    if engine.description["engine"] == "vllm":
        return one == other
    close = torch.allclose(torch.tensor(one.logps), torch.tensor(other.logps), atol=1e-4)
    return close and replace(one, logps=()) == replace(other, logps=())


def forward_logps(model, prompt, tokens):
    """The slow way: one plain forward pass over prompt and completion."""
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *tokens]])).logits[0]
    steps = logits[len(prompt) - 1 : -1].float().log_softmax(-1)
    return steps[torch.arange(len(tokens)), torch.tensor(tokens)]


def test_sample_j_is_the_single_request_with_seed_plus_j(engine):
    together = engine.generate(requests(3), Sampling(samples=4, max_tokens=40))
    for i, request in enumerate(requests(3)):
        for j in range(4):
            alone = Request(request.tokens, request.seed + j)
            [[single]] = engine.generate([alone], Sampling(samples=1, max_tokens=40))
            assert same(engine, single, together[i][j])


def test_samples_do_not_depend_on_order_or_chunks(engine):
    sampling = Sampling(samples=3, max_tokens=40)
    whole = engine.generate(requests(7), sampling)
    backwards = engine.generate(requests(7)[::-1], sampling)[::-1]
    chunks = [s for r in requests(7) for s in engine.generate([r], sampling)]
    for one, other, third in zip(chain(*whole), chain(*backwards), chain(*chunks), strict=True):
        assert same(engine, one, other)
        assert same(engine, one, third)
    assert len({tuple(sample.tokens) for samples in whole for sample in samples}) == 21


def test_prompts_that_begin_alike_change_no_sample(vllm_engine):
    """vLLM computes a common beginning of 128 tokens once, or finds it computed before."""
    vllm_engine.load(ModelRef(str(TINY_BASE)))
    alike = [Request((*range(3, 303), *range(3, 10 + n)), 100 * n) for n in range(12)]
    sampling = Sampling(samples=4, max_tokens=30)
    first = vllm_engine.generate(alike, sampling)
    assert vllm_engine.generate(alike, sampling) == first
    assert [s for r in alike for s in vllm_engine.generate([r], sampling)] == first


def test_batches_are_taken_ahead_and_answered_in_order(engine):
    taken = []

    def batches():
        for number in range(3):
            taken.append(number)
            yield requests(7)[2 * number : 2 * number + 2]

    sampling = Sampling(samples=3, max_tokens=40)
    alone = [engine.generate(requests(7)[2 * n : 2 * n + 2], sampling) for n in range(3)]
    for number, answers in enumerate(engine.stream(batches(), sampling)):
        if engine.description["engine"] == "vllm":
            assert taken == [0, 1, 2]
        for one, other in zip(chain(*answers), chain(*alone[number]), strict=True):
            assert same(engine, one, other)


def test_a_batch_that_is_done_before_an_earlier_one_waits_for_it(engine):
    """Long prompts leave room for a few tokens only, and are done at once."""
    sampling = Sampling(samples=2, max_tokens=150)
    batches = [requests(4), [Request(tuple(range(1, 250)), 7)], requests(2, seed=3)]
    alone = [engine.generate(batch, sampling) for batch in batches]
    for ours, others in zip(engine.stream(batches, sampling), alone, strict=True):
        for one, other in zip(chain(*ours), chain(*others), strict=True):
            assert same(engine, one, other)


def test_a_stream_left_early_leaves_nothing_behind(engine):
    sampling = Sampling(samples=3, max_tokens=100)
    expected = engine.generate(requests(2), sampling)
    left = engine.stream([requests(1), requests(9), requests(9)], sampling)
    next(left)
    left.close()
    for one, other in zip(
        chain(*engine.generate(requests(2), sampling)), chain(*expected), strict=True
    ):
        assert same(engine, one, other)


@pytest.fixture(scope="module")
def adapter(random_model, tmp_path_factory):
    """A LoRA adapter of rank 3 for the random model, far from doing nothing."""
    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(random_model, dtype="float32")
    targets = ["q_proj", "v_proj", "down_proj"]
    # Weights drawn at random: PEFT's own beginning leaves the model as it is.
    adapted = get_peft_model(
        model, LoraConfig(r=3, target_modules=targets, init_lora_weights=False)
    )
    adapted.save_pretrained(folder)
    return str(folder)


def test_an_adapter_is_sampled_from(vllm_engine, random_model, adapter):
    sampling = Sampling(samples=2, max_tokens=60)
    vllm_engine.load(ModelRef(random_model))
    plain = vllm_engine.generate(requests(4), sampling)
    vllm_engine.load(ModelRef(random_model, adapter=adapter))
    assert vllm_engine.description["lora"] == adapter
    adapted = vllm_engine.generate(requests(4), sampling)
    base = AutoModelForCausalLM.from_pretrained(random_model, dtype="float32")
    model = PeftModel.from_pretrained(base, adapter)
    for request, samples in zip(requests(4), adapted, strict=True):
        for sample in samples:
            expected = forward_logps(model, request.tokens, sample.tokens)
            assert torch.allclose(torch.tensor(sample.logps), expected, atol=1e-4)
    vllm_engine.load(ModelRef(random_model))
    assert "lora" not in vllm_engine.description
    assert vllm_engine.generate(requests(4), sampling) == plain != adapted


def test_what_is_no_adapter_is_refused(transformers_engine, random_model, adapter, tmp_path):
    with pytest.raises(EngineError, match="holds no LoRA adapter: adapter_config"):
        start_engine(VllmSettings(), ModelRef(random_model, adapter=str(tmp_path)))
    pickled = shutil.copytree(adapter, tmp_path / "pickled")
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    with pytest.raises(EngineError, match=r"no adapter_model\.safetensors"):
        start_engine(VllmSettings(), ModelRef(random_model, adapter=str(pickled)))
    with pytest.raises(EngineError, match="merge it, or take vllm"):
        transformers_engine.load(ModelRef(random_model, adapter=adapter))


def test_replicas_have_devices_of_their_own(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert device_shares(2, 2) == ["0,1", "2,3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,GPU-a,3,1,0")
    assert device_shares(2, 2) == ["7,GPU-a", "3,1"]
    with pytest.raises(EngineError, match="needs 6 devices; CUDA_VISIBLE_DEVICES names 5"):
        device_shares(3, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float32"}, "dtype is a setting of its own"),
        ({"seed": 1}, r"sampling\.seed sets it"),
        ({"trust_remote_code": True}, "could run code"),
        ({"worker_cls": "os.system"}, "could run code"),
        ({"chat_template": "/etc/passwd"}, "reach other files"),
        ({"compilation_config": {"backend": "os.system"}}, "options"),
    ],
)
def test_options_are_checked_before_any_start(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        VllmSettings(options=options)
    assert len(caught.value.errors()) <= 4  # one for each type that an option may have
    assert VllmSettings(options={"block_size": 32, "kv_cache_dtype": "auto"}).options


def test_an_option_that_vllm_does_not_know_is_an_error_of_one_line(random_model):
    with pytest.raises(EngineError, match=r"cannot load .*: TypeError: .*'max_num_seq'$") as caught:
        start_engine(VllmSettings(options={"max_num_seq": 8}), ModelRef(random_model))
    assert "\n" not in str(caught.value)


def test_results_do_not_depend_on_memory_and_speed():
    plain = VllmSettings().result_settings
    faster = VllmSettings(max_num_seqs=7, gpu_memory_utilization=0.5, data_parallel_size=8)
    assert faster.result_settings == plain
    for other in ({"dtype": "float16"}, {"max_model_len": 9}, {"cpu_threads": 2}, {"lora": "a"}):
        assert VllmSettings(**other).result_settings != plain
    assert "block_size" in VllmSettings(options={"block_size": 1}).result_settings["options"]


def test_auto_hands_on_what_vllm_shares():
    auto = AutoSettings(dtype="bfloat16", max_num_seqs=7, data_parallel_size=2)
    assert auto.vllm() == VllmSettings(dtype="bfloat16", max_num_seqs=7, data_parallel_size=2)
    assert auto.transformers() == TransformersSettings(dtype="bfloat16")


def test_more_prompts_than_one_prefill_takes(vllm_engine, random_model):
    """vLLM computes at most some thousand prompt tokens at once; a prompt must not be cut there."""
    vllm_engine.load(ModelRef(random_model))
    long = [Request(tuple(range(1, 200)), seed) for seed in range(60)]
    answers = vllm_engine.generate(long, Sampling(samples=1, max_tokens=8))
    [[last]] = vllm_engine.generate(long[-1:], Sampling(samples=1, max_tokens=8))
    assert answers[-1] == [last]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (1.3, 0.8)])
def test_logps_are_the_raw_ones_of_a_forward_pass(engine, random_model, temperature, top_p):
    sampling = Sampling(samples=2, max_tokens=60, temperature=temperature, top_p=top_p)
    model = AutoModelForCausalLM.from_pretrained(random_model, dtype="float32")
    for request, samples in zip(requests(4), engine.generate(requests(4), sampling), strict=True):
        for sample in samples:
            expected = forward_logps(model, request.tokens, sample.tokens)
            assert torch.allclose(torch.tensor(sample.logps), expected, atol=1e-4)


def test_greedy_takes_the_likeliest_token_in_both_engines(
    vllm_engine, transformers_engine, random_model
):
    sampling = Sampling(samples=1, max_tokens=60, temperature=0)
    model = AutoModelForCausalLM.from_pretrained(random_model, dtype="float32")
    answers = []
    for engine in (vllm_engine, transformers_engine):
        engine.load(ModelRef(random_model))
        answers.append([sample for [sample] in engine.generate(requests(4), sampling)])
    assert [s.tokens for s in answers[0]] == [s.tokens for s in answers[1]]
    # vLLM holds back a character whose last bytes are missing.
    texts = [[s.text.rstrip("\N{REPLACEMENT CHARACTER}") for s in some] for some in answers]
    assert texts[0] == texts[1]
    for request, sample in zip(requests(4), answers[0], strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([[*request.tokens, *sample.tokens]])).logits[0]
        assert logits[len(request.tokens) - 1 : -1].argmax(-1).tolist() == sample.tokens.tolist()


def test_draws_follow_the_model_s_distribution(engine, random_model):
    """The first token of 2,000 draws: frequencies within 5 standard errors of the probabilities."""
    prompt = tuple(range(40, 60))
    model = AutoModelForCausalLM.from_pretrained(random_model, dtype="float32")
    with torch.inference_mode():
        expected = (model(torch.tensor([prompt])).logits[0, -1] / 0.7).softmax(-1)
    sampling = Sampling(samples=2000, max_tokens=1, temperature=0.7)
    [samples] = engine.generate([Request(prompt, 5)], sampling)
    drawn = torch.bincount(torch.tensor([s.tokens[0] for s in samples]), minlength=len(expected))
    error = (expected * (1 - expected) / 2000).sqrt().clamp(min=1 / 2000)
    assert ((drawn / 2000 - expected).abs() <= 5 * error).all()


def test_ended_samples_hold_the_end_token_and_truncated_ones_do_not(engine):
    [samples] = engine.generate(requests(1), Sampling(samples=60, max_tokens=100))
    ended = [sample for sample in samples if sample.finish_reason == "stop"]
    truncated = [sample for sample in samples if sample.finish_reason == "length"]
    assert ended
    assert truncated
    for sample in ended:
        assert sample.tokens[-1] == EOS
        assert sample.tokens.count(EOS) == 1
        assert "<eos>" not in sample.text
    for sample in truncated:
        assert EOS not in sample.tokens
        assert len(sample.tokens) == 100
    assert all(len(sample.logps) == len(sample.tokens) for sample in samples)


def test_a_stop_string_ends_a_completion_and_leaves_its_text(engine, random_model):
    tokenizer = load_tokenizer(ModelRef(random_model))
    [free] = engine.generate(requests(1), Sampling(samples=6, max_tokens=60))
    stop = free[0].text[3:5]
    [stopped] = engine.generate(requests(1), Sampling(samples=6, max_tokens=60, stop=(stop,)))
    assert stopped[0].finish_reason == "stop"
    for unbound, bound in zip(free, stopped, strict=True):
        assert unbound.tokens[: len(bound.tokens)] == bound.tokens
        assert stop not in bound.text
        if stop in unbound.text:
            assert bound.finish_reason == "stop"
            assert bound.text == unbound.text[: unbound.text.index(stop)]
            assert stop in tokenizer.decode(bound.tokens)
            assert stop not in tokenizer.decode(bound.tokens[:-1])
        else:
            assert same(engine, bound, unbound)


def test_prompts_without_room_for_an_answer_are_parted(engine, random_model):
    sampler = ModelSampler(engine, load_tokenizer(ModelRef(random_model)), "raw")
    context = engine.context_tokens
    lengths = (context - 40, context - 1, context, context + 200)
    problems = [Problem(f"p{n}", "x" * n, "1") for n in lengths]
    fits, too_long = sampler.fitting(problems)
    assert [len(problem.prompt) for problem in fits] == [context - 40, context - 1]
    assert [len(problem.prompt) for problem in too_long] == [context, context + 200]


def test_the_end_of_the_context_truncates_a_completion(engine, random_model):
    sampler = ModelSampler(engine, load_tokenizer(ModelRef(random_model)), "raw")
    context = engine.context_tokens
    problems = [Problem(f"p{n}", "x" * n, "1") for n in (context - 5, 3, context - 1)]
    completions = sampler(problems, Sampling(samples=8, max_tokens=20))
    for problem, start in zip(problems, (0, 8, 16), strict=True):
        own = completions[start : start + 8]
        room = min(20, context - len(problem.prompt))
        assert max(len(c.tokens) for c in own) == room
        assert all(c.truncated for c in own if len(c.tokens) == room and c.tokens[-1] != EOS)


def test_completions_keep_prompt_tokens_and_seeds(engine, random_model):
    sampler = ModelSampler(engine, load_tokenizer(ModelRef(random_model)), "Q: {problem}\nA:")
    problem = Problem("p", "1+1", "2")
    completions = sampler([problem], Sampling(samples=3, max_tokens=5, seed=7))
    assert [c.seed - request_seed(7, "p") for c in completions] == [0, 1, 2]
    assert [c.sample for c in completions] == [0, 1, 2]
    assert {c.prompt for c in completions} == {"Q: 1+1\nA:"}
    assert len(completions[0].prompt_tokens) == len("Q: 1+1\nA:")
    with pytest.raises(ValueError, match="set samples to 1"):
        Sampling(samples=2, temperature=0)


def test_request_seeds_are_stable_and_differ():
    assert request_seed(0, "p") == 603915056
    assert len({request_seed(seed, f"p{n}") for seed in range(3) for n in range(300)}) == 900


def test_the_description_names_engine_and_version(engine):
    description = engine.description
    assert {"engine", "version", "torch", "device", "threads", "dtype"} <= description.keys()
    assert "None" not in description.values()


@pytest.mark.parametrize("settings", [VllmSettings(), TransformersSettings()])
def test_a_model_that_does_not_load_is_one_readable_line(settings, random_model, tmp_path):
    children = psutil.Process().children()
    broken = shutil.copytree(random_model, tmp_path / "broken")
    with (broken / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    for model in (str(broken), "no-such-owner/no-such-model"):
        with pytest.raises(EngineError, match=f"cannot load {model}: .+") as caught:
            start_engine(settings, ModelRef(model))
        assert "\n" not in str(caught.value)
    with pytest.raises(EngineError, match="no model folder"):
        start_engine(settings, ModelRef(str(tmp_path / "absent")))
    assert psutil.Process().children() == children


def test_an_engine_whose_load_is_interrupted_is_closed(monkeypatch):
    closed = []

    class Interrupted:
        def load(self, *_):
            raise KeyboardInterrupt

        def close(self):
            closed.append(self)

    monkeypatch.setattr("data_gen.samplers._engine", lambda _: Interrupted())
    monkeypatch.setattr("data_gen.cluster.engine.RayEngine", lambda *_: Interrupted())
    alone, cluster = TransformersSettings(), ClusterSettings()
    for there in (None, cluster):
        engines = Engines(alone, "raw", Silent(), base=ModelRef(str(TINY_BASE)), cluster=there)
        with pytest.raises(KeyboardInterrupt):
            engines.sampler(ModelRef(str(TINY_BASE)))
    assert len(closed) == 2


def test_auto_takes_vllm_and_falls_back_with_a_word(random_model, tmp_path, caplog):
    """Heads of 24 dimensions are more than vLLM's attention kernel on a CPU can do."""
    config = json.loads((Path(random_model) / "config.json").read_text())
    odd = tmp_path / "odd"
    narrow = LlamaConfig(**config | {"hidden_size": 48, "head_dim": 24})
    LlamaForCausalLM(narrow).save_pretrained(odd)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(random_model) / name, odd)
    with (
        caplog.at_level(logging.WARNING),
        start_engine(AutoSettings(), ModelRef(str(odd))) as engine,
    ):
        assert engine.description["engine"] == "transformers"
    assert "vLLM does not start, transformers samples instead" in caplog.text


LOG = """
INFO 11-28 04:29:01 [core.py:107] Initializing a V1 LLM engine
(EngineCore pid=71) ERROR 11-28 04:29:08 [core.py:1165] Traceback (most recent call last):
(EngineCore pid=71) ERROR 11-28 04:29:08 [core.py:1165]   File "worker.py", line 2, in init
(EngineCore pid=71) ERROR 11-28 04:29:08 [core.py:1165]     raise ValueError("Free memory")
(EngineCore pid=71) ERROR 11-28 04:29:08 [core.py:1165] ValueError: Free memory on device is less
(EngineCore pid=71) Process EngineCore:
"""


@pytest.mark.parametrize(
    "told",
    [
        "RuntimeError: Engine core initialization failed. See root cause above. Failed: {}",
        "EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root"
        " cause.",
    ],
)
def test_what_failed_inside_vllm_is_told_and_not_that_something_did(told):
    printed = f"(EngineCore pid=70) ERROR 11-28 04:29:09 [core.py:9] vllm.exceptions.{told}\n"
    assert cause(told, LOG + printed) == "ValueError: Free memory on device is less"
    assert cause(told, "no line of an error\n" + printed) == told
    assert cause("ValueError: no such model", LOG) == "ValueError: no such model"
