"""The parts of a collection on disk."""

from collections.abc import Sequence
from pathlib import Path

from data_gen.store.rollouts import load_rollouts
from data_gen.types import DataError, Problem, Rollout, Sampling


def part_path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05}.parquet"


def remove_torn_parts(folder: Path) -> None:
    """Removes what a killed process was writing."""
    for torn in folder.glob(".part-*"):
        torn.unlink()


def load_part(part: Path, problems: Sequence[Problem], sampling: Sampling) -> list[Rollout]:
    """Raises DataError for a part that is not whole, or that holds other problems or samples."""
    rollouts = load_rollouts(part, untrusted=False)
    held = [(rollout.problem, rollout.completion.sample) for rollout in rollouts]
    if held != [(problem, j) for problem in problems for j in range(sampling.samples)]:
        raise DataError(
            f"{part}: holds rollouts of other problems or settings; delete the folder to redo it"
        )
    return rollouts
