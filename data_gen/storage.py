"""Rollouts to and from files: Parquet through `datasets`, and JSONL."""

import json
import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_gen.types import Completion, DataError, Problem, Rollout, Verdict

COLUMNS = {
    "problem_id": "string",
    "sample": "int32",
    "seed": "int64",
    "problem": "string",
    "gold": "string",
    "solution": "string",
    "prompt": "string",
    "completion": "string",
    "prompt_tokens": "list:int32",
    "tokens": "list:int32",
    "logps": "list:float32",
    "finish_reason": "string",
    "verdict": "string",
    "reason": "string",
    "answer": "string",
    "reward": "float64",
}


def save_rollouts(rollouts: Sequence[Rollout], path: str | os.PathLike[str]) -> None:
    """Writes `path` (.parquet or .jsonl) whole or not at all, in the order given.

    Log-probabilities are kept as float32, which is what engines return.
    """
    path = Path(path)
    rows = [_row(rollout) for rollout in rollouts]
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        if path.suffix == ".jsonl":
            lines = (json.dumps(row, allow_nan=False) + "\n" for row in rows)
            temporary.write_text("".join(lines), encoding="utf-8")
        elif path.suffix == ".parquet":
            _dataset(rows).to_parquet(str(temporary))
        else:
            raise DataError(f"{path}: rollouts are stored as .parquet or .jsonl")
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_rollouts(path: str | os.PathLike[str]) -> list[Rollout]:
    """Reads what `save_rollouts` wrote: one file, or a folder of `part-*.parquet` in order.

    Raises DataError naming the file (and line) that is not whole or has other columns.
    """
    path = Path(path)
    if path.is_dir():
        parts = sorted(path.glob("part-*.parquet"))
        if not parts:
            raise DataError(f"{path}: no part-*.parquet in this folder")
        return [rollout for part in parts for rollout in load_rollouts(part)]
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    rows = _read_jsonl(path) if path.suffix == ".jsonl" else _read_parquet(path)
    return [_rollout(row, path, number) for number, row in enumerate(rows, 1)]


def _dataset(rows: list[dict[str, Any]]) -> Any:
    from datasets import Dataset, Features, List, Value

    features = Features(
        {
            name: List(Value(kind.removeprefix("list:"))) if "list:" in kind else Value(kind)
            for name, kind in COLUMNS.items()
        }
    )
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    return Dataset.from_dict(columns, features=features)


def _row(rollout: Rollout) -> dict[str, Any]:
    problem, completion, verdict = rollout.problem, rollout.completion, rollout.verdict
    return {
        "problem_id": problem.id,
        "sample": completion.sample,
        "seed": completion.seed,
        "problem": problem.prompt,
        "gold": problem.answer,
        "solution": problem.solution,
        "prompt": completion.prompt,
        "completion": completion.text,
        "prompt_tokens": list(completion.prompt_tokens),
        "tokens": list(completion.tokens),
        "logps": list(completion.logps),
        "finish_reason": completion.finish_reason,
        "verdict": verdict.label,
        "reason": verdict.reason,
        "answer": verdict.answer,
        "reward": verdict.reward,
    }


def _rollout(row: dict[str, Any], path: Path, number: int) -> Rollout:
    missing = [name for name in COLUMNS if name not in row]
    if missing:
        raise DataError(f"{path}:{number}: no column {', '.join(missing)}")
    return Rollout(
        Problem(row["problem_id"], row["problem"], row["gold"], row["solution"]),
        Completion(
            problem_id=row["problem_id"],
            sample=row["sample"],
            seed=row["seed"],
            prompt=row["prompt"],
            prompt_tokens=tuple(row["prompt_tokens"]),
            text=row["completion"],
            tokens=tuple(row["tokens"]),
            logps=tuple(row["logps"]),
            finish_reason=row["finish_reason"],
        ),
        Verdict(row["verdict"], row["reward"], row["reason"], row["answer"]),
    )


def _read_parquet(path: Path) -> Iterable[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = pq.ParquetFile(path).read().to_pylist()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a whole Parquet file ({error})") from error
    return rows


def _read_jsonl(path: Path) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}:{number}: not JSON ({error})") from error
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: not a JSON object")
            yield row
