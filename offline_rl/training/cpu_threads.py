"""How many CPU threads train fastest here and now: more are slower on a busy machine."""

import time
from pathlib import Path

import torch

from offline_rl.artifacts.atomic import write_atomically
from offline_rl.artifacts.checksums import read_sealed, sealed

_FILE = "threads"
_SECONDS_EACH = 0.3
# A count must be faster by this share than a smaller one to be preferred to it.
_GAIN = 0.1


def settled(limit: int, folder: Path) -> int:
    """The count to train with, tried out once and then read from `folder`: results depend on it."""
    path = folder / _FILE
    if path.exists():
        return int(read_sealed(path)["threads"])
    count = fastest(limit)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, sealed({"threads": count}))
    return count


def fastest(limit: int) -> int:
    """Tries 1, 2, 4 and so on, and `limit`, on a small step, each for a moment.

    Leaves torch's number of threads as it was.
    """
    before = torch.get_num_threads()
    counts = sorted({*(2**i for i in range(limit.bit_length()) if 2**i < limit), limit})
    try:
        return _preferred({count: _seconds(count) for count in counts})
    finally:
        torch.set_num_threads(before)


def _preferred(seconds: dict[int, float]) -> int:
    """The fastest, or a smaller count that is nearly as fast."""
    best = min(seconds.values())
    return min(count for count, taken in seconds.items() if taken * (1 - _GAIN) <= best)


def _seconds(threads: int) -> float:
    """The median time of a step of a small network."""
    torch.set_num_threads(threads)
    weight = torch.zeros(1024, 1024, requires_grad=True)
    states = torch.zeros(256, 1024)
    times: list[float] = []
    end = time.perf_counter() + _SECONDS_EACH
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        torch.autograd.grad(torch.nn.functional.gelu(states @ weight).sum(), weight)
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]
