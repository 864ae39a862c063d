"""One experiment on several base models: a run for each, and one report on all."""

from dataclasses import replace
from pathlib import Path

from data_gen.cluster import ClusterError
from data_gen.samplers import EngineError
from data_gen.types import DataError
from offline_rl.artifacts.atomic import write_atomically
from offline_rl.artifacts.layout import REPORT, SETTINGS
from offline_rl.artifacts.lock import locked
from offline_rl.artifacts.object_store.objects import Objects
from offline_rl.artifacts.object_store.run_store import put_snapshot
from offline_rl.artifacts.object_store.stage_store import StageStore
from offline_rl.config.dump import dump_several_models
from offline_rl.config.several_models import SeveralModels
from offline_rl.progress import Progress, Silent
from offline_rl.redaction import redacted
from offline_rl.report import Report, write_report
from offline_rl.report.build_report import build_report
from offline_rl.results.find import collect_models
from offline_rl.workflows.experiment import Step, run


def run_several_models(
    series: SeveralModels,
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
        write_atomically(folder / SETTINGS, dump_several_models(series))
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
            report = build_report(replace(found, failures={**found.failures, **failures}))
            write_report(folder / REPORT, report, series.formats)
        if series.store is not None:
            inside = [label for label in series.stored_inside() if label not in failures]
            put_snapshot(StageStore(Objects(series.store)), folder, inside)
        return report
