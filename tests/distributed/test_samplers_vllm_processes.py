"""vLLM in several processes, and behind a server, samples what it samples in one."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest

from data_gen.model_ref import ModelRef
from data_gen.problems.arithmetic import arithmetic_problems
from data_gen.samplers import EngineError, ModelSampler, ServerSettings, VllmSettings, start_engine
from data_gen.samplers.base import Request
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.types import Sampling
from offline_rl.tiny_base import TINY_BASE

pytestmark = pytest.mark.xdist_group("vllm")


def test_replicas_share_the_requests_until_one_dies(vllm_engine, random_model):
    settings = VllmSettings(
        dtype="float32",
        data_parallel_size=2,
        max_model_len=100,
        max_num_seqs=2,
        max_num_batched_tokens=128,
        options={"block_size": 32},
    )
    requests = [Request(tuple(range(40, 50 + 3 * i)), 1000 * i + 1) for i in range(7)]
    vllm_engine.load(ModelRef(random_model))
    sampling = Sampling(samples=3, max_tokens=40)
    expected = vllm_engine.generate(requests, sampling)
    with start_engine(settings, ModelRef(random_model)) as engine:
        assert engine.context_tokens == 100
        assert engine.description["block_size"] == "32"
        assert engine.generate(requests, sampling) == expected
        assert engine.generate(requests[:1], sampling) == expected[:1]
        os.kill(engine._replicas[1].pid, 9)
        with pytest.raises(EngineError, match=r"cannot sample: the child process .* exit code -9"):
            engine.generate(requests[:2], sampling)
        with pytest.raises(EngineError, match="no model is loaded"):
            engine.generate(requests[:2], sampling)


START_SECONDS = 180


@pytest.fixture(scope="session")
def vllm_server(tmp_path_factory):
    """The address of vLLM's own server with the tiny base, which recommends what it must not do."""
    folder = shutil.copytree(TINY_BASE, tmp_path_factory.mktemp("served") / "base")
    recommended = {"eos_token_id": 0, "repetition_penalty": 3.0, "top_k": 2, "temperature": 0.1}
    (folder / "generation_config.json").write_text(json.dumps(recommended))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder.parent / "log"
    module = "vllm.entrypoints.openai.api_server"
    options = f"--served-model-name tiny --host 127.0.0.1 --port {port} --max-num-seqs 64"
    flags = "--dtype float32 --enforce-eager --no-enable-chunked-prefill"
    flags += " --distributed-executor-backend uni"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                module,
                "--model",
                str(folder),
                *options.split(),
                *flags.split(),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={
                **os.environ,
                "VLLM_CPU_KVCACHE_SPACE": "1",
                "VLLM_NO_USAGE_STATS": "1",
                "TORCH_COMPILE_DISABLE": "1",
            },
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"http://127.0.0.1:{port}/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"vLLM's server does not start: {log.read_text()[-3000:]}")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url):
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(samples=4, max_tokens=80, seed=3),
        Sampling(samples=2, max_tokens=80, temperature=0.7, top_p=0.9, stop=("answer",)),
        Sampling(samples=1, max_tokens=2000, temperature=0),
    ],
)
def test_samples_are_those_of_the_engine_in_process(vllm_server, vllm_engine, sampling):
    problems = arithmetic_problems("train", 24)
    tokenizer = load_tokenizer(ModelRef(str(TINY_BASE)))
    vllm_engine.load(ModelRef(str(TINY_BASE)))
    expected = ModelSampler(vllm_engine, tokenizer, "raw")(problems, sampling)
    with start_engine(ServerSettings(url=vllm_server), ModelRef(str(TINY_BASE))) as engine:
        assert engine.context_tokens == vllm_engine.context_tokens
        completions = ModelSampler(engine, tokenizer, "raw")(problems, sampling)
        assert engine.description["engine"] == "server"
        assert engine.description["version"].startswith("vllm 0.")
        assert engine.description["served"] == "tiny"
    assert len({tuple(c.tokens) for c in expected}) > 12
    for ours, other in zip(expected, completions, strict=True):
        assert ours.tokens == other.tokens
        assert np.allclose(ours.logps, other.logps, atol=1e-5)
        assert (ours.text, ours.finish_reason) == (other.text, other.finish_reason)
        assert (ours.problem_id, ours.sample, ours.seed) == (
            other.problem_id,
            other.sample,
            other.seed,
        )


def test_another_model_is_refused_in_one_line(vllm_server):
    with start_engine(ServerSettings(url=f"{vllm_server}/v1"), ModelRef(str(TINY_BASE))) as engine:
        engine.load(ModelRef(str(TINY_BASE)))
        with pytest.raises(EngineError, match=r"serves tiny and cannot sample trained.*such as vl"):
            engine.load(ModelRef("trained"))
        with pytest.raises(EngineError, match="give the adapter to it"):
            engine.load(ModelRef(str(TINY_BASE), adapter="lora"))
    with pytest.raises(EngineError, match=r"serves tiny: not large: set sampler\.model"):
        start_engine(ServerSettings(url=vllm_server, model="large"), ModelRef(str(TINY_BASE)))
