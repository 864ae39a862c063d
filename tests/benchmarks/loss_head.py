"""Time and peak memory of one forward and backward pass through the loss head, several ways.

The ways take turns, and the median of each is compared with that of whole logits. On a CPU each is
a new process each time, and seconds are the process's own, of one thread, so that what else the
machine does matters little; on a GPU one process does it all, by the clock. Peak memory is that
above the inputs. Run: `python tests/benchmarks/loss_head.py`, or with `--device cuda`.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor
from torch.nn import functional

from losses import dft_loss
from losses.chunked_head import CHUNK, head_logps

VOCABULARY = 151_936
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
Head = Callable[[Tensor, Tensor, Tensor, int], Tensor]


def whole_logits(hidden: Tensor, weight: Tensor, tokens: Tensor, chunk: int) -> Tensor:
    """What a loop without any care does; the rest must be as exact."""
    logits = hidden @ weight.T
    return dft_loss(-functional.cross_entropy(logits.float(), tokens, reduction="none")).sum()


def trl_fused(hidden: Tensor, weight: Tensor, tokens: Tensor, chunk: int) -> Tensor:
    from trl.trainer import utils

    logps, *_ = utils._ChunkedLogProbFunction.apply(
        hidden,
        weight,
        None,
        tokens,
        1.0,
        utils._CHUNKED_LOGPROB_CHUNK_SIZE,
        None,
        1.0,
        ("log_probs",),
    )
    return dft_loss(logps.float()).sum()


def chunked(hidden: Tensor, weight: Tensor, tokens: Tensor, chunk: int) -> Tensor:
    logps, _ = head_logps(hidden, weight, tokens, dtype=weight.dtype, entropy=False, chunk=chunk)
    return dft_loss(logps).sum()


HEADS: dict[str, Head] = {
    "whole_logits": whole_logits,
    "trl_fused": trl_fused,
    "chunked": chunked,
}


def rounds(name: str, dtype: str, options: Any) -> Iterator[dict[str, float]]:
    """Seconds of each round, and the peak so far."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    device, kind = options.device, DTYPES[dtype]
    hidden = torch.randn(options.tokens, options.width, device=device).to(kind).requires_grad_()
    weight = torch.randn(VOCABULARY, options.width, device=device) * 0.02
    weight = weight.to(kind).requires_grad_()
    wanted = torch.randint(VOCABULARY, (options.tokens,), device=device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    before = _mib(device)
    while True:
        hidden.grad = weight.grad = None
        start = _clock(device)
        HEADS[name](hidden, weight, wanted, options.chunk).backward()
        seconds = _clock(device) - start
        yield {"seconds": seconds, "mib": _mib(device, peak=True) - before}


def worker(name: str, dtype: str, options: Any) -> None:
    """Answers each line on standard input with a round's figures."""
    every = rounds(name, dtype, options)
    for _ in sys.stdin:
        print(json.dumps(next(every)), flush=True)


def _clock(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def _mib(device: str, *, peak: bool = False) -> float:
    if device == "cuda":
        held = torch.cuda.max_memory_allocated() if peak else torch.cuda.memory_allocated()
        return held / 2**20
    if peak:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def compare(dtype: str, names: list[str], options: Any) -> None:
    """Whole logits are always among the `names`; only one process works at a time."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    mib: dict[str, float] = {}
    for _ in range(options.rounds):
        for name in names:
            told = _round(name, dtype, options)
            seconds[name].append(told["seconds"])
            mib[name] = max(mib.get(name, 0), told["mib"])
    shape = f"T = {options.tokens}, H = {options.width}, V = {VOCABULARY}, chunk {options.chunk}"
    print(f"\n{dtype}, {shape}, {options.rounds} rounds, {options.device}")
    print(f"{'head':<14}{'seconds':>9}{'ratio':>7}{'peak MiB':>10}{'ratio':>7}")
    for name in names:
        median = statistics.median(seconds[name])
        ratio = median / statistics.median(seconds[names[0]])
        share = mib[name] / mib[names[0]]
        print(f"{name:<14}{median:>9.4f}{ratio:>7.2f}{mib[name]:>10.0f}{share:>7.2f}", flush=True)


def _round(name: str, dtype: str, options: Any) -> dict[str, float]:
    """The last of some rounds; memory is the peak of all."""
    if options.device == "cuda":
        return next(islice(rounds(name, dtype, options), options.warm, None))
    command = [sys.executable, __file__, "--worker", name, "--dtype", dtype]
    for setting in ("tokens", "width", "chunk"):
        command += [f"--{setting}", str(getattr(options, setting))]
    done = subprocess.run(
        command, input="go\n" * (options.warm + 1), capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout.strip().split("\n")[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", choices=HEADS)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=DTYPES)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--width", type=int, default=896)
    parser.add_argument("--chunk", type=int, default=CHUNK)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", type=int, default=1, help="rounds before the one that counts")
    parser.add_argument("--without", nargs="*", default=[], choices=HEADS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.dtype, options)
        return
    names = [name for name in HEADS if name not in options.without]
    for dtype in [options.dtype] if options.dtype else DTYPES:
        compare(dtype, names, options)


if __name__ == "__main__":
    main()
