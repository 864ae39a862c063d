"""Rollouts to and from files: Parquet through `datasets`, and JSONL."""

import json
import math
import os
import uuid
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from data_gen.rows import Row, read_file
from data_gen.types import Completion, DataError, FinishReason, Label, Problem, Rollout, Verdict

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
    Raises DataError for another kind of file, or for text that no file can hold.
    """
    path = Path(path)
    rows = [_row(rollout) for rollout in rollouts]
    with _replacing(path) as temporary:
        try:
            if path.suffix == ".jsonl":
                lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
                temporary.write_bytes("".join(f"{line}\n" for line in lines).encode())
            elif path.suffix == ".parquet":
                _write_parquet(rows, temporary)
            else:
                raise DataError(f"{path}: rollouts are stored as .parquet or .jsonl")
        except UnicodeEncodeError as error:
            raise DataError(f"{path}: a rollout holds half of a surrogate pair") from error


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
    table = read_file(path)
    return [_rollout(row, table.place(number)) for number, row in enumerate(table.rows)]


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place, synced, when the block succeeds."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_parquet(rows: list[Row], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features, List, Value

    features = Features(
        {
            name: List(Value(kind.removeprefix("list:"))) if "list:" in kind else Value(kind)
            for name, kind in COLUMNS.items()
        }
    )
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    # The schema carries the features, so that `load_dataset` gives back these very types.
    table = pa.Table.from_pydict(columns, schema=features.arrow_schema)
    pq.write_table(table, path, write_page_checksum=True)


def _row(rollout: Rollout) -> Row:
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
        "logps": list(array("f", completion.logps)),
        "finish_reason": completion.finish_reason,
        "verdict": verdict.label,
        "reason": verdict.reason,
        "answer": verdict.answer,
        "reward": verdict.reward,
    }


def _rollout(row: Row, place: str) -> Rollout:
    missing = [name for name in COLUMNS if name not in row]
    if missing:
        raise DataError(f"{place}: no column {', '.join(missing)}")
    for name, kind in COLUMNS.items():
        if not _fits(row[name], kind):
            raise DataError(f"{place}: column {name!r} does not hold {kind}")
    for name, allowed in (("finish_reason", get_args(FinishReason)), ("verdict", get_args(Label))):
        if row[name] not in allowed:
            raise DataError(f"{place}: {name} {row[name]!r} is not one of {', '.join(allowed)}")
    problem = Problem(row["problem_id"], row["problem"], row["gold"], row["solution"])
    try:
        completion = Completion(
            problem_id=problem.id,
            sample=row["sample"],
            seed=row["seed"],
            prompt=row["prompt"],
            prompt_tokens=tuple(row["prompt_tokens"]),
            text=row["completion"],
            tokens=tuple(row["tokens"]),
            logps=tuple(row["logps"]),
            finish_reason=row["finish_reason"],
        )
    except ValueError as error:
        raise DataError(f"{place}: {error}") from error
    verdict = Verdict(row["verdict"], float(row["reward"]), row["reason"], row["answer"])
    return Rollout(problem, completion, verdict)


def _fits(value: Any, kind: str) -> bool:
    if kind.startswith("list:"):
        inner = kind.removeprefix("list:")
        return isinstance(value, list) and all(_fits(one, inner) for one in value)
    if kind == "string":
        return isinstance(value, str)
    if isinstance(value, bool):
        return False
    if kind.startswith("float"):
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, int)
