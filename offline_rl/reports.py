"""Reports on folders: of a run, of a series of runs, of evaluations alone, of several together."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_gen.cluster import ClusterError
from data_gen.samplers import EngineError
from data_gen.types import DataError
from offline_rl.artifacts.layout import REPORT, SETTINGS, is_evaluation_alone
from offline_rl.artifacts.lock import locked
from offline_rl.artifacts.object_store.objects import Objects
from offline_rl.artifacts.object_store.run_store import put_snapshot
from offline_rl.artifacts.object_store.stage_store import StageStore
from offline_rl.config.multi_model import Series, dump_series
from offline_rl.config.schema import Experiment
from offline_rl.experiment import Step, run
from offline_rl.files import write_atomically
from offline_rl.progress import Progress, Silent
from offline_rl.redaction import redacted
from offline_rl.report import Report, write_report
from offline_rl.results.find import collect_models, find, run_settings
from offline_rl.results.merge import join_runs
from offline_rl.results.run_results import report_on
from offline_rl.results.write_report import results_step
from offline_rl.settings.report import CSV_AND_PAGE, Format


def report_again(folder: str | Path, formats: Sequence[Format] | None = None) -> Report:
    """As `load_run`, and writes the report's files anew: those of the settings, or `formats`."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    with locked(folder):
        if not is_evaluation_alone(folder):
            settings = run_settings(folder)
            if isinstance(settings, Experiment):
                return results_step(settings, folder, formats)
            asked = settings.formats
        else:
            asked = CSV_AND_PAGE
        report = report_on(find(folder))
        write_report(folder / REPORT, report, formats or asked)
        return report


def run_series(
    series: Series,
    folder: str | Path,
    *,
    until: Step = "report",
    progress: Progress | None = None,
    retry_failed: bool = False,
) -> Report | None:
    """Runs the experiment on each base model, in a folder of its name, and reports on all.

    Resumes as `run` does; a finished model is not touched again. A model whose run ends with an
    error stands among the report's failures and the others go on. Raises what the last of them
    raised where no model's run ends without one, and ClusterError, which is no model's fault.
    """
    folder, progress = Path(folder), progress or Silent()
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        write_atomically(folder / SETTINGS, dump_series(series))
        failures: dict[str, str] = {}
        for label, experiment in series.experiments.items():
            progress.say(f"base model {label}")
            try:
                run(
                    experiment,
                    folder / label,
                    until=until,
                    progress=progress,
                    retry_failed=retry_failed,
                )
            except ClusterError:
                raise
            except (DataError, EngineError) as error:
                failures[label] = redacted(" ".join(str(error).split()))
                progress.say(f"base model {label}: failed: {failures[label]}")
                if len(failures) == len(series.experiments):
                    raise
        report = None
        if until == "report":
            found = collect_models(series, folder)
            report = report_on(replace(found, failures={**found.failures, **failures}))
            write_report(folder / REPORT, report, series.formats)
        if series.store is not None:
            inside = [label for label in series.stored_inside() if label not in failures]
            put_snapshot(StageStore(Objects(series.store)), folder, inside)
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
    parts = {name: find(Path(folder)) for name, folder in _names(folders).items()}
    joined = join_runs(parts, name=" and ".join(parts))
    if reference is not None:
        labels = dict.fromkeys(one.evaluation.label for one in joined.samples)
        if reference not in labels:
            raise DataError(f"there is no label {reference!r} among {', '.join(labels)}")
        joined = replace(joined, reference=reference)
    report = report_on(joined)
    write_report(Path(out), report, formats)
    return report


def _names(folders: Sequence[str | Path]) -> dict[str, Path]:
    """A short name for each folder: its last part, or its whole path where that is not enough."""
    paths = [Path(folder) for folder in folders]
    if len({path.resolve() for path in paths}) < len(paths):
        raise DataError("a run is given twice")
    if len(paths) < 2:
        raise DataError("give two runs or more")
    last = [path.resolve().name for path in paths]
    names = last if len(set(last)) == len(last) else [str(path) for path in paths]
    return dict(zip(names, paths, strict=True))
