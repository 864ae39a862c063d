"""The parts of a collection on disk: what is in one is told without reading its completions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from data_gen.seal import is_sealed
from data_gen.types import DataError, Label, Problem, Sampling

_CHECKED = ["problem_id", "sample", "problem", "gold", "solution", "verdict"]


def part_path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05}.parquet"


def remove_torn_parts(folder: Path) -> None:
    """Removes what a killed process was writing."""
    for torn in folder.glob(".part-*"):
        torn.unlink()


def check_part(part: Path, problems: Sequence[Problem], sampling: Sampling) -> list[Label]:
    """The verdicts in a part, sample by sample.

    Raises DataError for a part that is not whole, or that holds other problems or samples.
    """
    columns = _read(part)
    expected = [
        (problem.id, j, problem.prompt, problem.answer, problem.solution)
        for problem in problems
        for j in range(sampling.samples)
    ]
    held = list(zip(*(columns[name] for name in _CHECKED[:-1]), strict=True))
    if held != expected:
        raise DataError(
            f"{part}: holds rollouts of other problems or settings; delete the folder to redo it"
        )
    labels: list[Label] = columns["verdict"]
    if not set(labels) <= set(get_args(Label)):
        raise DataError(f"{part}: holds a verdict that is not one of {', '.join(get_args(Label))}")
    return labels


def _read(part: Path) -> dict[str, list[Any]]:
    import pyarrow.parquet as pq

    # What is not looked at here is kept all the same, and of a damaged file pyarrow believes all.
    if not is_sealed(part):
        raise DataError(f"{part}: not a whole Parquet file (it does not hold what was written)")
    with pq.ParquetFile(part) as file:
        table = file.read(columns=_CHECKED)
    missing = [name for name in _CHECKED if name not in table.column_names]
    if missing:
        raise DataError(f"{part}: no column {', '.join(missing)}")
    return {name: table[name].to_pylist() for name in _CHECKED}
