"""Rollouts as Parquet columns, without a Python object for each token."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_gen.store.schema import COLUMNS, rollout_of, row_of
from data_gen.store.table_files import parquet_errors_name
from data_gen.store.untrusted_parquet import decoded
from data_gen.types import DataError, Problem, Rollout

# Rollouts held as columns at a time, in writing and in reading.
_ROWS = 4096


def write_parquet(rollouts: Sequence[Rollout], path: Path) -> None:
    """Writes a file with COLUMNS; `datasets.load_dataset` gives back these very types."""
    from datasets import Features, List, Value

    features = Features(
        {
            name: List(Value(kind.removeprefix("list:"))) if "list:" in kind else Value(kind)
            for name, kind in COLUMNS.items()
        }
    )
    schema = features.arrow_schema
    with pq.ParquetWriter(path, schema, write_page_checksum=True) as writer:
        for start in range(0, max(len(rollouts), 1), _ROWS):
            rows = list(map(row_of, rollouts[start : start + _ROWS]))
            columns = {name: [row[name] for row in rows] for name in COLUMNS}
            arrays = [_arrow(columns[name], schema.field(name).type) for name in COLUMNS]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def read_parquet(path: Path, *, untrusted: bool) -> Iterator[Rollout]:
    """The rollouts of a file with COLUMNS, some thousands in memory at a time.

    A `untrusted` one is decoded under a limit on memory. Raises DataError naming the file, and the
    row where it is one row's fault.
    """
    with parquet_errors_name(path):
        first = 0
        for batch in decoded(path, _ROWS, list(COLUMNS)) if untrusted else _batches(path):
            _check_schema(batch.schema, path)
            yield from _rollouts(batch, path, first)
            first += batch.num_rows


def _batches(path: Path) -> Iterator[Any]:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        _check_schema(file.schema_arrow, path)
        missing = file.metadata.num_rows
        for batch in file.iter_batches(batch_size=_ROWS, columns=list(COLUMNS)):
            missing -= batch.num_rows
            yield batch
        # pyarrow skips a page of unknown kind, which no checksum covers.
        if missing:
            raise DataError(f"{path}: not a whole Parquet file ({missing} rows are missing)")


def _arrow(values: Sequence[Any], kind: Any) -> Any:
    if not pa.types.is_list(kind):
        return pa.array(values, kind)
    dtype = kind.value_type.to_pandas_dtype()
    flat = np.concatenate([np.empty(0, dtype), *(np.asarray(one, dtype) for one in values)])
    offsets = [0, *accumulate(len(one) for one in values)]
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(flat), type=kind)


def _check_schema(schema: Any, path: Path) -> None:
    missing = [name for name in COLUMNS if name not in schema.names]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}")
    for name, kind in COLUMNS.items():
        if not _serves(schema.field(name).type, kind):
            raise DataError(f"{path}: column {name!r} does not hold {kind}")


def _serves(found: Any, kind: str) -> bool:
    """Whether a type is `kind`, another width of it aside, as other writers choose it."""
    if kind.startswith("list:"):
        inner = kind.removeprefix("list:")
        return _is_list(found) and _serves(found.value_type, inner)
    if kind == "string":
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found))
    if kind.startswith("float"):
        return bool(pa.types.is_floating(found))
    return bool(pa.types.is_integer(found))


def _is_list(found: Any) -> bool:
    return bool(pa.types.is_list(found) or pa.types.is_large_list(found))


def _rollouts(batch: Any, path: Path, first: int) -> Iterator[Rollout]:
    columns = {name: _plain(batch.column(name), name, path) for name in COLUMNS}
    known = Problem("", "", "")
    prompt_tokens = array("i")
    for number in range(batch.num_rows):
        row = {name: column[number] for name, column in columns.items()}
        problem = Problem(row["problem_id"], row["problem"], row["gold"], row["solution"])
        # The samples of a problem share one copy of what they have in common.
        known = known if problem == known else problem
        if row["prompt_tokens"] != prompt_tokens:
            prompt_tokens = row["prompt_tokens"]
        yield rollout_of(
            {**row, "prompt_tokens": prompt_tokens}, known, f"{path} row {first + number + 1}"
        )


def _plain(column: Any, name: str, path: Path) -> Sequence[Any]:
    """A column as Python values; of a list column, as arrays."""
    kind = COLUMNS[name]
    whole = column.null_count == 0 and not (_is_list(column.type) and column.values.null_count)
    if not whole:
        raise DataError(f"{path}: column {name!r} has empty cells")
    if not kind.startswith("list:"):
        return list(column.to_pylist())
    code = {"list:int32": "i", "list:float32": "f"}[kind]
    values = column.values.to_numpy(zero_copy_only=False)
    narrow = values.astype(np.dtype(code))
    if narrow.dtype != values.dtype and code == "i" and (narrow != values).any():
        raise DataError(f"{path}: column {name!r} holds ids of more than 31 bits")
    if code == "f" and not np.isfinite(narrow).all():
        raise DataError(f"{path}: column {name!r} holds a log-probability that is not finite")
    return [array(code, narrow[a:b].tobytes()) for a, b in pairwise(column.offsets.to_pylist())]
