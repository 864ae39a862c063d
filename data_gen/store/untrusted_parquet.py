"""Parquet files that nobody vouches for, decoded by a process of their own.

A few bytes of such a file can stand for any number of values, and pyarrow, which takes every size
in it at its word, has no limit on its memory.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from data_gen.types import DataError

# Threads for matrices, of which there are none, and memory that is only reserved count as used.
_FRUGAL = {"OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
_WORKER = Path(__file__).with_name("untrusted_parquet_worker.py")
# The exit code of the worker for a file that is refused; as in untrusted_parquet_worker.py.
_REFUSED = 3


def decoded(
    path: Path, rows: int, columns: Sequence[str] = (), *, most: int | None = None
) -> Iterator[Any]:
    """Record batches of at most `rows` rows, with those of `columns` that are there, or with all.

    The first one is empty, so that a file without rows tells its columns too. Raises DataError
    naming a file that is not whole, that takes too much memory to decode, or that unpacks to far
    more than an honest file of its size, or to more than `most` bytes of Python objects.
    """
    if not _has_both_ends(path):
        raise DataError(f"{path}: not a whole Parquet file (no PAR1 at each end)")
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [sys.executable, "-P", str(_WORKER), str(path), str(rows), str(most or 0), *columns],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, **_FRUGAL},
        ) as process,
    ):
        try:
            yield from _batches(process, said, path)
        finally:
            process.kill()


def _has_both_ends(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.read(4)
        file.seek(-min(4, path.stat().st_size), os.SEEK_END)
        return first == file.read() == b"PAR1"


def _batches(process: subprocess.Popen[bytes], said: IO[bytes], path: Path) -> Iterator[Any]:
    assert process.stdout is not None
    broken = None
    try:
        yield from pa.ipc.open_stream(process.stdout)
    except (OSError, ValueError) as error:
        # The stream is cut short where its writer fails, which says itself why.
        broken = error
    process.stdout.close()
    code = process.wait()
    if code == _REFUSED:
        said.seek(0)
        reason = said.read().decode(errors="replace").splitlines()[-1]
        raise DataError(f"{path}: {reason}")
    if code or broken:
        raise DataError(
            f"{path}: not a whole Parquet file (its reader ended with exit code {code})"
        )
