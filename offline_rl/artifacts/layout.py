"""Names of files in a run folder, and the folder or file that a path means."""

from pathlib import Path
from typing import Literal

from data_gen.types import DataError
from offline_rl.artifacts.manifest import MANIFEST, read_manifest
from offline_rl.artifacts.records import EvaluatedLabels

SETTINGS = "experiment.yaml"
"""A run's settings; in its folder."""

REPORT = "report"
"""Where the report's files lie; in a run's folder."""

Kind = Literal["dataset", "rollouts"]


def dataset_path(path: Path, kind: Kind | None = None) -> Path:
    """The folder of parts, or the file, that `path` means.

    A run's folder has two: `dataset`, which is left after all filters, and `rollouts`, which is
    everything sampled; without `kind` the first that is finished. Raises DataError where there is
    none, or one of another version's format.
    """
    if path.is_file():
        return path
    for name in ("dataset", "rollouts") if kind is None else (kind,):
        if (path / name / MANIFEST).is_file():
            read_manifest(path / name)
            return path / name
    if kind is None and any(path.glob("part-*.parquet")):
        read_manifest(path)
        return path
    if (path / SETTINGS).is_file():
        raise DataError(f"{path}: no finished {kind or 'rollouts'} in it yet: offline-rl generate")
    raise DataError(
        f"{path}: no finished rollouts in it: it is neither a run's folder nor a data set's, with"
        " part-*.parquet"
    )


def is_untrusted(path: Path) -> bool:
    """Whether anybody may have made the rollouts: a file, or a data set without its run."""
    return not (path / SETTINGS).is_file()


def has_evaluations(path: Path) -> bool:
    """Whether the folder of a run, or of a series of runs, holds something to compare."""
    within = f"evaluations/*/*/*/{MANIFEST}"
    return any(path.glob(within)) or any(path.glob(f"*/{within}"))


def holds_checkpoint_evaluations(path: Path) -> bool:
    """Whether a folder holds evaluations of given models, without an experiment."""
    return (path / EvaluatedLabels.FILE).is_file()
