"""The process that decodes a Parquet file for `untrusted_parquet`, under a limit on its memory.

It imports nothing of this package, which would take longer than most files.
"""

import resource
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

REFUSED = 3
"""The exit code after saying, in the last line, what is wrong with the file."""

_GB = 1 << 30
_MEMORY = 4 * _GB
# The reader has no limit but these two, in bytes of Python objects: how much it gets at a time,
# and how much a single row may be.
_PIECE = _GB // 4
_LONGEST_ROW = _GB
# A file may unpack to so much, and to so much more for each of its bytes. Completions that repeat
# one token to the end, and a system prompt of many pages in every row, stay below.
_UNPACKED = 2 * _GB
_UNPACKED_PER_BYTE = 10_000
# Fewer rows are decoded at a time where the file says that they are long.
_DECODED = _GB // 4

# About what a Python object takes, and the dictionary of a row.
_OBJECT = 32
_ROW = 256


class Refused(Exception):
    """The file may be whole, but nobody could hold what is in it."""


def send(path: Path, rows: int, columns: Sequence[str], unpacked: int, sink: BinaryIO) -> None:
    """Writes what `decoded` yields as a stream of Arrow, `unpacked` bytes at most.

    Raises Refused, and whatever pyarrow raises for a file that is not whole.
    """
    # So a column's pages are in memory one after another, not all at once.
    streaming = {"pre_buffer": False, "buffer_size": 1 << 20}
    allowed = unpacked
    with pq.ParquetFile(path, page_checksum_verification=True, **streaming) as file:
        schema = file.schema_arrow
        if columns:
            # Batches have their columns as they were asked for, and not as the file has them.
            there = [name for name in columns if name in schema.names]
            schema = pa.schema([schema.field(name) for name in there])
        rows = max(1, min(rows, _DECODED // max(1, _average_row(file.metadata))))
        with pa.ipc.new_stream(sink, schema) as stream:
            # Made of Python's values it would load pandas.
            empty = [pa.nulls(0, one.type) for one in schema]
            stream.write_batch(pa.RecordBatch.from_arrays(empty, schema=schema))
            missing = file.metadata.num_rows
            for batch in file.iter_batches(rows, columns=columns or None, use_threads=False):
                missing -= batch.num_rows
                for piece, size in _pieces(batch):
                    unpacked -= size
                    if unpacked < 0:
                        raise Refused(
                            f"unpacks to more than {allowed / _GB:.1g} GB, for which it is too"
                            " small, or which is too much to be held at once"
                        )
                    stream.write_batch(piece)
        # pyarrow skips a page of unknown kind, which no checksum covers.
        if missing:
            raise ValueError(f"{missing} rows are missing")


def _average_row(metadata: Any) -> int:
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return int(sum(group.total_byte_size for group in groups) // max(1, metadata.num_rows))


def _pieces(batch: Any) -> Iterator[tuple[Any, int]]:
    """Parts of a batch, small enough for the reader, with their sizes."""
    size = _ROW * batch.num_rows + sum(map(_size, batch.columns))
    if size <= _PIECE or batch.num_rows == 1:
        if size > _LONGEST_ROW:
            raise Refused(f"a row unpacks to more than {_LONGEST_ROW // _GB} GB")
        yield batch, size
        return
    half = batch.num_rows // 2
    yield from _pieces(batch.slice(0, half))
    yield from _pieces(batch.slice(half))


def _size(array: Any) -> int:
    """About what the values of an array take as Python objects, in bytes."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _size(array.storage)
    if pa.types.is_dictionary(kind):
        return _size(array.dictionary_decode())
    if pa.types.is_map(kind):
        return _size(array.cast(pa.list_(pa.struct([kind.key_field, kind.item_field]))))
    # Of these, a part counts as much as the whole.
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return _size(array.cast(pa.large_binary()))
    size = _OBJECT * len(array)
    if pa.types.is_struct(kind):
        return size + sum(map(_size, array.flatten()))
    if pa.types.is_nested(kind):
        return size + _size(array.flatten())
    return size + int(array.nbytes)


def _limit_memory(unpacked: int) -> int:
    """The limit in bytes."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    allowed = [_MEMORY, unpacked] if hard == resource.RLIM_INFINITY else [_MEMORY, unpacked, hard]
    resource.setrlimit(resource.RLIMIT_AS, (min(allowed), hard))
    return min(allowed)


def main() -> None:
    path = Path(sys.argv[1])
    unpacked = _UNPACKED + _UNPACKED_PER_BYTE * path.stat().st_size
    rows, most = (int(text) for text in sys.argv[2:4])
    limit = _limit_memory(unpacked)
    unpacked = min(unpacked, most) if most else unpacked
    try:
        send(path, rows, sys.argv[4:], unpacked, sys.stdout.buffer)
    except Refused as error:
        reason = str(error)
    except MemoryError:
        reason = (
            f"takes more than {limit / _GB:.1f} GB of memory to decode: it is damaged, or its row"
            " groups are too large"
        )
    # Of a damaged file anything may be wrong.
    except Exception as error:
        reason = f"not a whole Parquet file ({' '.join(str(error).split())[:400]})"
    else:
        return
    print(reason, file=sys.stderr)
    sys.exit(REFUSED)


if __name__ == "__main__":
    main()
