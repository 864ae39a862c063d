"""Texts of chosen samples from the rollouts that a run keeps."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_gen.types import DataError

_WANTED = ["problem_id", "sample", "problem", "gold", "completion"]


@dataclass(frozen=True, slots=True)
class Text:
    """A sample with its problem, as stored."""

    problem_id: str
    sample: int
    problem: str
    gold: str
    completion: str


def texts(folder: Path, problems: Collection[str], samples: Collection[int]) -> Iterator[Text]:
    """The texts of these samples of these problems, in the order stored.

    Of other rows only the names are read; some thousands of rows are in memory at a time. Raises
    DataError for a part that is not whole.
    """
    for part in sorted(folder.glob("part-*.parquet")):
        try:
            with pq.ParquetFile(part) as file:
                for group in range(file.num_row_groups):
                    yield from _of_group(file, group, problems, samples)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{part}: not a whole part of an evaluation ({error})") from error


def _of_group(
    file: pq.ParquetFile, group: int, problems: Collection[str], samples: Collection[int]
) -> Iterator[Text]:
    names = file.read_row_group(group, columns=["problem_id", "sample"])
    wanted = pc.and_(
        pc.is_in(names["problem_id"], value_set=pa.array(list(problems), pa.string())),
        pc.is_in(names["sample"], value_set=pa.array(list(samples), pa.int32())),
    )
    if not np.asarray(wanted).any():
        return
    rows = file.read_row_group(group, columns=_WANTED).filter(wanted)
    for batch in rows.to_batches(max_chunksize=256):
        for row in batch.to_pylist():
            yield Text(**row)
