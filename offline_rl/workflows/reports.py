"""Reports on folders: of a run, of a series of runs, of evaluations alone, of several together."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_gen.types import DataError
from offline_rl.artifacts.layout import REPORT, holds_checkpoint_evaluations
from offline_rl.artifacts.lock import locked
from offline_rl.config.schema import Experiment
from offline_rl.config.yaml_io import UsageError
from offline_rl.report import Report, write_report
from offline_rl.report.build_report import build_report
from offline_rl.results.compare_run import compare_run
from offline_rl.results.find import collect_results, run_settings
from offline_rl.results.merge import merge_runs
from offline_rl.settings.report import CSV_AND_PAGE, Format


def report_again(folder: str | Path, formats: Sequence[Format] | None = None) -> Report:
    """As `load_run`, and writes the report's files again: those of the settings, or `formats`."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    with locked(folder):
        if not holds_checkpoint_evaluations(folder):
            settings = run_settings(folder)
            if isinstance(settings, Experiment):
                return compare_run(settings, folder, formats)
            asked = settings.formats
        else:
            asked = CSV_AND_PAGE
        report = build_report(collect_results(folder))
        write_report(folder / REPORT, report, formats or asked)
        return report


def compare_runs(
    folders: Sequence[str | Path],
    out: str | Path,
    *,
    reference: str | None = None,
    formats: Sequence[Format] = CSV_AND_PAGE,
) -> Report:
    """One report on several runs that share benchmarks, written into `out`.

    Where the runs differ otherwise, the report says so. Raises DataError where they share none, or
    where the label `reference` is in none of them.
    """
    parts = {name: collect_results(Path(folder)) for name, folder in _names(folders).items()}
    joined = merge_runs(parts, name=" and ".join(parts))
    if reference is not None:
        labels = dict.fromkeys(one.evaluation.label for one in joined.samples)
        if reference not in labels:
            raise UsageError(f"there is no label {reference!r} among {', '.join(labels)}")
        joined = replace(joined, reference=reference)
    report = build_report(joined)
    write_report(Path(out), report, formats)
    return report


def _names(folders: Sequence[str | Path]) -> dict[str, Path]:
    """A short name for each folder: its last part, or its whole path where that is not enough."""
    paths = [Path(folder) for folder in folders]
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("a run is given twice")
    if len(paths) < 2:
        raise UsageError("give two runs or more")
    last = [path.resolve().name for path in paths]
    names = last if len(set(last)) == len(last) else [str(path) for path in paths]
    return dict(zip(names, paths, strict=True))
