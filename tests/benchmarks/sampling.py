"""Tokens a second of bare `LLM.generate` and of `collect` with seeds, verdicts and storage.

Both sides draw the same samples of the tiny base in turn, several rounds in one run, each from a
vLLM of its own that stays loaded. Run: `python tests/benchmarks/sampling.py`, or on a GPU with
`--size 0.5b`: layers of that size with random weights and the tiny base's vocabulary, in bfloat16,
each side with three tenths of the GPU's memory.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from data_gen import collect
from data_gen.model_ref import ModelRef
from data_gen.problems.arithmetic import arithmetic_problems
from data_gen.prompts import encode
from data_gen.samplers import ModelSampler
from data_gen.samplers.base import request_seed
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.samplers.vllm import VllmEngine
from data_gen.samplers.vllm_settings import VllmSettings
from data_gen.types import Sampling
from data_gen.verifiers.math import MathSettings
from offline_rl.tiny_base import TINY_BASE

MAX_TOKENS = {"tiny": 128, "0.5b": 512}
OPTIONS: dict[str, dict[str, Any]] = {
    "tiny": {"dtype": "float32", "enforce_eager": True, "max_num_seqs": 1024},
    "0.5b": {"dtype": "bfloat16", "max_num_seqs": 1024, "gpu_memory_utilization": 0.3},
}


def random_model(folder: Path) -> str:
    """As many layers and as wide as a model of half a billion weights."""
    import torch
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(TINY_BASE)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.device("cuda"):
        model = Qwen2ForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    return str(folder)


def bare(requests_file: str, samples: int, model: str, size: str) -> None:
    """Answers each line on standard input with the seconds and tokens of one `LLM.generate`."""
    from vllm import LLM, SamplingParams

    requests = json.loads(Path(requests_file).read_text())
    only_here = {"enable_chunked_prefill": False} if size == "tiny" else {}
    llm = LLM(model, seed=0, disable_log_stats=True, **OPTIONS[size], **only_here)
    llm.generate([{"prompt_token_ids": [2]}], SamplingParams(max_tokens=1), use_tqdm=False)
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        outputs = llm.generate(
            [{"prompt_token_ids": tokens} for tokens, _ in requests],
            [
                SamplingParams(
                    n=samples,
                    seed=seed,
                    logprobs=0,
                    max_tokens=MAX_TOKENS[size],
                    detokenize=line.strip() == "text",
                )
                for _, seed in requests
            ],
            use_tqdm=False,
        )
        seconds = time.perf_counter() - start
        tokens = sum(len(one.token_ids) for output in outputs for one in output.outputs)
        del outputs
        print(json.dumps([seconds, tokens]), flush=True)


class Bare:
    """A process that runs `bare`."""

    def __init__(self, requests: list[Any], model: str, given: Any, folder: Path) -> None:
        file = folder / "requests.json"
        file.write_text(json.dumps(requests))
        self.process = subprocess.Popen(
            [
                sys.executable,
                __file__,
                "--bare",
                str(file),
                "--model",
                model,
                "--samples",
                str(given.samples),
                "--size",
                given.size,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "bare.log").open("wb"),
            text=True,
            env=os.environ
            | {
                "VLLM_CPU_KVCACHE_SPACE": "1",
                "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
                "VLLM_NO_USAGE_STATS": "1",
                "VLLM_LOGGING_STREAM": "ext://sys.stderr",
            },
        )
        self._expect("ready")

    def __call__(self, how: str) -> tuple[float, int]:
        assert self.process.stdin is not None
        self.process.stdin.write(how + "\n")
        self.process.stdin.flush()
        seconds, tokens = json.loads(self._expect("["))
        return seconds, tokens

    def _expect(self, beginning: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(beginning):
                return line
        raise RuntimeError("bare vLLM has ended; see its log")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chunk-problems", type=int, default=256)
    parser.add_argument("--size", choices=OPTIONS, default="tiny")
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.bare:
        bare(given.bare, given.samples, given.model, given.size)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(given, Path(folder))


def measure(given: Any, folder: Path) -> None:
    model = str(TINY_BASE) if given.size == "tiny" else random_model(folder / "model")
    problems = arithmetic_problems("train", given.problems)
    sampling = Sampling(samples=given.samples, max_tokens=MAX_TOKENS[given.size], seed=0)
    tokenizer = load_tokenizer(ModelRef(model))
    requests = [
        (encode(problem, "raw", tokenizer), request_seed(0, problem.id)) for problem in problems
    ]
    rates: dict[str, list[float]] = {"bare, with text": [], "bare, ids only": [], "collect": []}
    with (
        MathSettings().open() as verify,
        VllmEngine(VllmSettings(**OPTIONS[given.size])) as engine,
    ):
        engine.load(ModelRef(model))
        sample = ModelSampler(engine, tokenizer, "raw")
        process = Bare(requests, model, given, folder)
        # Both sides have worked before they are timed: libraries are loaded, verifiers run.
        process("text")
        collect(problems[:64], sample, verify, sampling, folder=folder / "before")
        for number in range(given.rounds):
            for name, how in (("bare, with text", "text"), ("bare, ids only", "ids")):
                seconds, tokens = process(how)
                rates[name].append(tokens / seconds)
            start = time.perf_counter()
            rollouts = collect(
                problems,
                sample,
                verify,
                sampling,
                folder=folder / f"round-{number}",
                chunk_problems=given.chunk_problems,
            )
            seconds = time.perf_counter() - start
            ours = sum(len(rollout.completion.tokens) for rollout in rollouts)
            # A GPU's kernels round otherwise in a batch of another size.
            assert ours == tokens or given.size != "tiny", f"{ours} tokens, bare has {tokens}"
            rates["collect"].append(ours / seconds)
            print(f"round {number}:", {k: round(v[-1]) for k, v in rates.items()}, flush=True)
        process.process.kill()
    medians = {name: statistics.median(some) for name, some in rates.items()}
    print(
        f"{given.problems} problems x {given.samples}, {tokens} tokens, tokens a second (median):"
    )
    for name, median in medians.items():
        share = medians["collect"] / median
        print(f"  {name:16} {median:8.0f}   collect reaches {share:.3f} of it")


if __name__ == "__main__":
    main()
