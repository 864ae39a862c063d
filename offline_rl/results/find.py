"""What is finished in the folder of a run, of several models' runs, or of evaluated checkpoints."""

from dataclasses import replace
from pathlib import Path

from data_gen.types import DataError
from eval.notes import Note
from offline_rl.artifacts.layout import SETTINGS, holds_checkpoint_evaluations
from offline_rl.artifacts.manifest import check_format
from offline_rl.config.dump import dump_several_models
from offline_rl.config.load import load, read_settings
from offline_rl.config.schema import Experiment
from offline_rl.config.several_models import SeveralModels
from offline_rl.report import Report
from offline_rl.report.build_report import build_report
from offline_rl.report.contents import RunResults
from offline_rl.results.checkpoint_results import collect_checkpoints
from offline_rl.results.collect import again, collect_run
from offline_rl.results.merge import merge_models


def load_run(folder: str | Path) -> Report:
    """What the folder of a run holds, as pandas frames: comparison, pairwise, seeds, ...

    The folder may also be of a series of runs, or of evaluations alone. `Report.grid()` has a row
    for every sample. Raises DataError where nothing is finished.
    """
    return build_report(collect_results(Path(folder)))


def collect_results(folder: Path) -> RunResults:
    """All that is finished in the folder of a run, a series, or evaluations alone."""
    check_format(folder)
    if holds_checkpoint_evaluations(folder):
        return collect_checkpoints(folder)
    settings = run_settings(folder)
    if isinstance(settings, Experiment):
        return collect_run(settings, folder)
    return collect_models(settings, folder)


def collect_models(series: SeveralModels, folder: Path) -> RunResults:
    """All that is finished of several base models' runs. Raises DataError where nothing is."""
    parts: dict[str, RunResults] = {}
    absent: list[Note] = []
    for label, one in series.experiments.items():
        try:
            parts[label] = collect_run(one, folder / label)
        except DataError as error:
            text = f"Nothing of {label} is finished ({' '.join(str(error).split())})."
            absent.append(Note("missing", text))
    if not parts:
        raise DataError(" ".join(map(str, absent)))
    joined = merge_models(parts, name=series.name, settings=dump_several_models(series))
    return replace(joined, command=again(folder), notes=(*absent, *joined.notes))


def run_settings(folder: Path) -> Experiment | SeveralModels:
    """The settings in a run's folder. Raises DataError where it is not the folder of a run."""
    if not (folder / SETTINGS).is_file():
        compared = (folder / "comparison.csv").is_file()
        hint = ": it holds a comparison's files; name the runs" if compared else ""
        raise DataError(f"{folder}: no {SETTINGS} in it, so it is no run's folder{hint}")
    check_format(folder)
    raw, _ = read_settings(folder / SETTINGS)
    if not raw.keys() & {"methods", "models", "evaluation"}:
        raise DataError(
            f"{folder}: holds a data set and no comparison: `offline-rl show {folder}` tells of it,"
            " and an experiment learns from it by `rollouts`"
        )
    return load(folder / SETTINGS, [], SeveralModels)
