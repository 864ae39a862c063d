"""Compares what a run has found and writes the report's files."""

from collections.abc import Sequence
from pathlib import Path

from offline_rl.artifacts.checksums import digest
from offline_rl.artifacts.layout import REPORT
from offline_rl.artifacts.records import Record
from offline_rl.config.schema import Experiment
from offline_rl.report import Report, write_report
from offline_rl.report.build_report import build_report
from offline_rl.results.collect import collect_run
from offline_rl.settings.report import Format


class CommonInputs(Record):
    """What all methods of a comparison had in common; beside its tables."""

    FILE = "manifest.json"

    name: str
    models: list[str]
    dataset_sha256: str
    model_sha256: str
    tokenizer_sha256: str
    prompt_sha256: str
    settings_sha256: str
    versions: dict[str, str]


def compare_run(
    experiment: Experiment, folder: Path, formats: Sequence[Format] | None = None
) -> Report:
    """Compares the finished evaluations and writes the report's files, those of the settings unless
    others are given."""
    results = collect_run(experiment, folder)
    report = build_report(results)
    write_report(folder / REPORT, report, formats or experiment.report.formats)
    common = CommonInputs.model_validate(
        {
            "name": results.name,
            "models": list(results.bases),
            **results.hashes,
            "settings_sha256": digest(results.settings),
            "versions": results.environment["packages"],
        }
    )
    common.write(folder / REPORT)
    return report
