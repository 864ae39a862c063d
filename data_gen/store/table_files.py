"""Rows of JSONL files, Parquet files and data sets of the hub, as plain dictionaries."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_gen.types import DataError

Row = dict[str, Any]

# Rows of a Parquet file held as Python objects at a time.
_ROWS = 512
# Bytes of a whole file that is held at once.
_MOST_KEPT = 8 << 30


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by number. `lines` are their line numbers in the file, where it has lines."""

    name: str
    rows: Sequence[Row]
    lines: Sequence[int] = ()

    def place(self, number: int) -> str:
        """Where row `number` (from 0) stands, for a message."""
        if self.lines:
            return f"{self.name}:{self.lines[number]}"
        return f"{self.name} row {number + 1}"


def read_file(path: str | Path) -> Table:
    """A .jsonl or .parquet file. Raises DataError naming the file (and line) that is not one."""
    path = Path(path)
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file")
    if path.suffix == ".jsonl":
        return _read_jsonl(path)
    if path.suffix == ".parquet":
        return Table(str(path), list(parquet_rows(path, most=_MOST_KEPT)))
    raise DataError(f"{path}: only .jsonl and .parquet files are read")


def read_hub(name: str, config: str | None, split: str | None, revision: str | None) -> Table:
    """A data set of the hub, or a local data-set folder, through `datasets.load_dataset`.

    Without `split` the data set must have only one. Raises DataError.
    """
    from datasets import DatasetDict, load_dataset
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        data = load_dataset(name, config, split=split, revision=revision)
    except (OSError, ValueError, DatasetsError, HfHubHTTPError, HFValidationError) as error:
        reason = " ".join(str(error).split())[:400]
        raise DataError(
            f"no problems can be loaded from the data set {name!r}"
            f" (config {config}, split {split}): {reason}"
        ) from error
    if isinstance(data, DatasetDict):
        if len(data) != 1:
            raise DataError(f"data set {name!r}: set split to one of {', '.join(data)}")
        split, data = next(iter(data.items()))
    return Table(f"{name}[{split}]", data)


def readable_text(value: str, place: str) -> str:
    """`value` itself; DataError for half a surrogate pair, which no file or tokenizer can take."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{place}: character {error.start} is half of a surrogate pair") from error
    return value


def cell(row: Row, column: str, place: str) -> Any:
    """The value of a column; DataError where the row has no such column."""
    if column not in row:
        raise DataError(
            f"{place}: no column {column!r}, the row has {', '.join(map(str, row))}: set columns"
        )
    return row[column]


def plain_text(value: Any, place: str) -> str:
    """The text of a cell; numbers as written by hand (27.0 is "27"), nothing as "".

    Raises DataError for anything else.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return readable_text(value, place)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{place}: {type(value).__name__} is neither text nor a number")
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        raise DataError(f"{place}: {value} is no number to compare with")
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def jsonl_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Line numbers and objects of a .jsonl file. Raises DataError naming file and line."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}:{number}: not JSON ({error})") from error
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: not a JSON object")
            yield number, row


def _read_jsonl(path: Path) -> Table:
    numbered = list(jsonl_rows(path))
    return Table(str(path), [row for _, row in numbered], [number for number, _ in numbered])


def parquet_rows(path: Path, *, most: int | None = None) -> Iterator[Row]:
    """The rows of a Parquet file, few in memory at a time.

    Raises DataError naming the file, also for one that unpacks to more than `most` bytes of Python
    objects.
    """
    # Loads pyarrow, which takes a while.
    from data_gen.store.untrusted_parquet import decoded

    with parquet_errors_name(path):
        for batch in decoded(path, _ROWS, most=most):
            yield from batch.to_pylist()


@contextmanager
def parquet_errors_name(path: Path) -> Iterator[None]:
    """Inside the block, whatever fails in reading a Parquet file is a DataError that names it."""
    try:
        yield
    except DataError:
        raise
    # Of a damaged file any number may be too large, and a time may be one that Python does not
    # have; for a type that pyarrow cannot read it raises NotImplementedError.
    except (
        OSError,
        ValueError,
        MemoryError,
        ArithmeticError,
        LookupError,
        TypeError,
        NotImplementedError,
    ) as error:
        reason = " ".join(str(error).split())[:400]
        raise DataError(f"{path}: not a whole Parquet file ({reason})") from error
