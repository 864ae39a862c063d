"""Rollouts to and from files: Parquet, whose columns `datasets` reads, and JSONL."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_gen.store.atomic_files import replacing
from data_gen.store.schema import COLUMNS, rollout_of, row_of
from data_gen.store.table_files import Row, jsonl_rows
from data_gen.types import DataError, Problem, Rollout

__all__ = ["COLUMNS", "StoredRollouts", "iterate_rollouts", "load_rollouts", "save_rollouts"]


def save_rollouts(rollouts: Sequence[Rollout], path: str | os.PathLike[str]) -> None:
    """Writes `path` (.parquet or .jsonl) whole or not at all, in the order given.

    Raises DataError for another kind of file, or for text that no file can hold.
    """
    path = Path(path)
    if path.suffix not in (".parquet", ".jsonl"):
        raise DataError(f"{path}: rollouts are stored as .parquet or .jsonl")
    with replacing(path) as temporary:
        try:
            if path.suffix == ".parquet":
                from data_gen.store.parquet import write_parquet

                write_parquet(rollouts, temporary)
            else:
                _write_jsonl(rollouts, temporary)
        except UnicodeEncodeError as error:
            raise DataError(f"{path}: a rollout holds half of a surrogate pair") from error


def load_rollouts(path: str | os.PathLike[str], *, untrusted: bool = True) -> list[Rollout]:
    """All of `iterate_rollouts` at once."""
    return list(iterate_rollouts(path, untrusted=untrusted))


def iterate_rollouts(path: str | os.PathLike[str], *, untrusted: bool = True) -> Iterator[Rollout]:
    """Reads what `save_rollouts` wrote: one file, or a folder of `part-*.parquet` in order.

    Some thousands of rollouts are in memory at a time. An `untrusted` Parquet file is decoded in a
    child process under a limit on memory, which takes half a second more; False is for files that
    this program has written itself. Raises DataError naming the file (and line) that is not whole
    or has other columns.
    """
    path = Path(path)
    if path.is_dir():
        parts = sorted(path.glob("part-*.parquet"))
        if not parts:
            raise DataError(f"{path}: no part-*.parquet in this folder")
        for part in parts:
            yield from _read_parquet(part, untrusted)
    elif not path.is_file():
        raise DataError(f"{path}: no such file")
    elif path.suffix == ".parquet":
        yield from _read_parquet(path, untrusted)
    elif path.suffix == ".jsonl":
        for number, row in jsonl_rows(path):
            yield _rollout(row, f"{path}:{number}")
    else:
        raise DataError(f"{path}: only .jsonl and .parquet files are read")


@dataclass(frozen=True)
class StoredRollouts:
    """What this program has stored at `path`; each pass reads it as `iterate_rollouts` does."""

    path: Path

    def __iter__(self) -> Iterator[Rollout]:
        return iterate_rollouts(self.path, untrusted=False)


def _read_parquet(path: Path, untrusted: bool) -> Iterator[Rollout]:
    # Loads pyarrow, which takes a while: for those who read alone.
    from data_gen.store.parquet import read_parquet

    return read_parquet(path, untrusted=untrusted)


def _write_jsonl(rollouts: Sequence[Rollout], path: Path) -> None:
    with path.open("wb") as file:
        for rollout in rollouts:
            line = json.dumps(row_of(rollout), default=list, ensure_ascii=False, allow_nan=False)
            file.write(f"{line}\n".encode())


def _rollout(row: Row, place: str) -> Rollout:
    missing = [name for name in COLUMNS if name not in row]
    if missing:
        raise DataError(f"{place}: no column {', '.join(missing)}")
    for name, kind in COLUMNS.items():
        if not _fits(row[name], kind):
            raise DataError(f"{place}: column {name!r} does not hold {kind}")
    problem = Problem(row["problem_id"], row["problem"], row["gold"], row["solution"])
    return rollout_of(row, problem, place)


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
