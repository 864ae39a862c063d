"""Times the statistics of a full-size comparison: `python tests/benchmarks/bootstrap.py`.

Five methods of three training seeds and their base, 16 samples of each of the 1,517 problems of
five benchmarks, made by a seeded generator. Prints the seconds and the peak memory of 10,000
bootstrap replicates of all methods together, and of a whole `compare`.
"""

import resource
import sys
import time

import numpy as np
import pandas as pd

from eval import Evaluation, compare
from eval.bootstrap import resample
from eval.evaluation import GRID_COLUMNS

BENCHMARKS = {"math500": 500, "minerva": 272, "olympiadbench": 675, "aime24": 30, "amc23": 40}
METHODS = {"base": 0.0, "dft": 0.08, "dpo": 0.05, "iw-sft": 0.06, "rft": 0.04, "sft": 0.02}
SEEDS = (0, 1, 2)
SAMPLES = 16
REPLICATES = 10_000
WRONG = ["0", "1/2", "0.5", r"\frac{1}{2}", "(1, 2)", r"2\sqrt{3}", "x = 4", "4", "12\\%", ""]


def evaluation(label: str, seed: int | None, benchmark: str, gain: float) -> Evaluation:
    """A grid whose problems differ in difficulty as those of real benchmarks do."""
    problems = BENCHMARKS[benchmark]
    easy = np.random.default_rng(len(benchmark)).beta(0.6, 0.8, problems)
    generator = np.random.default_rng([len(label), 0 if seed is None else seed + 1, problems])
    chance = (easy + gain + generator.normal(0, 0.02)).clip(0, 1)
    right = generator.random((problems, SAMPLES)) < chance[:, None]
    rows = right.size
    wrong = np.char.add(
        np.array(WRONG)[generator.integers(len(WRONG), size=rows)],
        np.repeat(np.arange(problems).astype(str), SAMPLES),
    )
    columns = {
        "problem_id": np.repeat([f"{benchmark}-{n}" for n in range(problems)], SAMPLES),
        "sample": np.tile(np.arange(SAMPLES), problems),
        "seed": np.arange(rows),
        "verdict": np.where(right.ravel(), "correct", "wrong"),
        "reason": "",
        "answer": np.where(right.ravel(), "7", wrong),
        "reward": right.ravel().astype(float),
        "tokens": generator.integers(50, 2000, size=rows),
        "truncated": False,
        "nll": generator.random(rows),
    }
    return Evaluation(label, seed, benchmark, 1.0, pd.DataFrame(columns)[GRID_COLUMNS])


def main() -> int:
    """Prints the figures; 1 where the bootstrap needs 10 s or 2 GiB."""
    evaluations = [
        evaluation(label, seed, benchmark, gain)
        for label, gain in METHODS.items()
        for seed in ([None] if label == "base" else SEEDS)
        for benchmark in BENCHMARKS
    ]
    tables = _tables(evaluations)
    seconds, gibibytes = _measured(lambda: resample(tables, replicates=REPLICATES))
    problems = sum(BENCHMARKS.values())
    print(
        f"bootstrap: {REPLICATES} replicates, {problems} problems x {SAMPLES} samples x"
        f" {len(tables)} methods x {len(SEEDS)} seeds: {seconds:.1f} s, peak {gibibytes:.2f} GiB"
    )
    whole, peak = _measured(lambda: compare(evaluations))
    print(f"compare, all tables: {whole:.1f} s, peak {peak:.2f} GiB")
    return int(seconds >= 10 or gibibytes >= 2)


def _tables(evaluations: list[Evaluation]) -> dict[str, dict[str, np.ndarray]]:
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    for one in evaluations:
        if one.training_seed is not None:
            right = (one.grid["verdict"] == "correct").to_numpy().reshape(-1, SAMPLES)
            found.setdefault(one.label, {}).setdefault(one.benchmark, []).append(right.mean(axis=1))
    return {
        label: {name: np.array(seeds) for name, seeds in tables.items()}
        for label, tables in found.items()
    }


def _measured(run) -> tuple[float, float]:
    """Wall seconds, and the peak memory of this process so far in GiB."""
    began = time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    sys.exit(main())
