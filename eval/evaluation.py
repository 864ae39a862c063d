"""One policy measured on one benchmark: a row for every sample."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from data_gen.collection import collected_chunks
from data_gen.types import DataError, Label, Rollout, Sampler
from eval.benchmarks import Benchmark

_STORED = ["problem_id", "sample", "seed", "verdict", "reason", "answer", "reward"]
GRID_COLUMNS = [*_STORED, "tokens", "truncated", "nll"]


@dataclass(frozen=True)
class Evaluation:
    """Every verified sample of one policy on one benchmark.

    `label` names the policy and its decoding ("base", "base t=0.5", "dft"); `training_seed` is None
    for an untrained one. `grid` has a row per (problem, sample): problem_id, sample, seed (of the
    sampling), verdict, reason, answer, reward, tokens (length of the completion), truncated, and
    nll, minus the mean raw log-probability of its tokens in nats (NaN where these are unknown).
    `model` is the base model that the policy comes from; only policies of one model are paired.
    """

    label: str
    training_seed: int | None
    benchmark: str
    temperature: float
    grid: pd.DataFrame
    model: str = ""
    top_p: float = 1.0


def evaluate(
    label: str,
    sample: Sampler,
    benchmark: Benchmark,
    *,
    training_seed: int | None = None,
    model: str = "",
    folder: Path | None = None,
    on_chunk: Callable[[Sequence[Label]], None] | None = None,
) -> Evaluation:
    """Collects on the benchmark's problems, with a few chunks of completions in memory at a time.

    `folder` is that of `collect`; `on_chunk` receives the verdicts of each chunk, sample by sample.
    """
    grids: list[pd.DataFrame] = []
    with closing(
        collected_chunks(
            benchmark.problems, sample, benchmark.verify, benchmark.sampling, folder=folder
        )
    ) as chunks:
        for rollouts in chunks:
            grids.append(grid(rollouts))
            if on_chunk is not None:
                on_chunk([rollout.verdict.label for rollout in rollouts])
    whole = pd.concat(grids, ignore_index=True)
    how = benchmark.sampling
    return Evaluation(
        label, training_seed, benchmark.name, how.temperature, whole, model, how.top_p
    )


def grid(rollouts: Sequence[Rollout]) -> pd.DataFrame:
    """One row per rollout, in the order given, with GRID_COLUMNS."""
    rows = [
        (
            rollout.problem.id,
            rollout.completion.sample,
            rollout.completion.seed,
            rollout.verdict.label,
            rollout.verdict.reason,
            rollout.verdict.answer,
            rollout.reward,
            len(rollout.completion.tokens),
            rollout.completion.truncated,
            _nll(np.asarray(rollout.completion.logps, dtype=np.float32)),
        )
        for rollout in rollouts
    ]
    return pd.DataFrame(rows, columns=GRID_COLUMNS)


def load_evaluation(
    folder: Path,
    *,
    label: str,
    training_seed: int | None,
    benchmark: str,
    temperature: float,
    top_p: float,
    model: str = "",
) -> Evaluation:
    """What `evaluate` left in `folder`, read without texts and token ids.

    Raises DataError for a folder without parts and for a part that is not whole.
    """
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:
        raise DataError(f"{folder}: no part-*.parquet in this folder; evaluate {label} again")
    whole = pd.concat([_read(part) for part in parts], ignore_index=True)
    return Evaluation(label, training_seed, benchmark, temperature, whole, model, top_p)


def _read(part: Path) -> pd.DataFrame:
    try:
        with pq.ParquetFile(part, page_checksum_verification=True) as file:
            stored = file.read(columns=[*_STORED, "finish_reason", "logps"])
            lengths = [len(ids) for ids in _lists(file.read(columns=["tokens"])["tokens"])]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{part}: not a whole part of an evaluation ({error})") from error
    table: pd.DataFrame = stored.select(_STORED).to_pandas()
    table["tokens"] = lengths
    table["truncated"] = np.asarray(stored["finish_reason"].to_pylist()) == "length"
    table["nll"] = [_nll(logps) for logps in _lists(stored["logps"])]
    return table[GRID_COLUMNS]


def _lists(column: Any) -> Iterator[np.ndarray]:
    """The rows of a list column as views of its values, without a Python object per element."""
    for chunk in column.chunks:
        values = chunk.values.to_numpy(zero_copy_only=False)
        offsets = chunk.offsets.to_numpy()
        for start, stop in itertools.pairwise(offsets):
            yield values[start:stop]


def _nll(logps: np.ndarray) -> float:
    """From float32, as rollouts are stored: a grid read back equals the one first made."""
    if logps.size == 0:
        return float("nan")
    return 0.0 - float(logps.mean(dtype=np.float64))
