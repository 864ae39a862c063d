"""Compares what a run has found and writes the report's files."""

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from offline_rl.artifacts.atomic import write_atomically
from offline_rl.artifacts.checksums import digest
from offline_rl.artifacts.layout import REPORT
from offline_rl.config.schema import Experiment
from offline_rl.report import Report, write_report
from offline_rl.report.build_report import build_report
from offline_rl.report.contents import RunResults
from offline_rl.results.collect import collect_run
from offline_rl.settings.report import Format

_COMMON = "manifest.json"


def compare_run(
    experiment: Experiment, folder: Path, formats: Sequence[Format] | None = None
) -> Report:
    """Compares the finished evaluations and writes the report's files, those of the settings unless
    others are given."""
    results = collect_run(experiment, folder)
    report = build_report(results)
    write_report(folder / REPORT, report, formats or experiment.report.formats)
    manifest = json.dumps(_manifest(results), indent=1) + "\n"
    write_atomically(folder / REPORT / _COMMON, manifest)
    return report


def _manifest(results: RunResults) -> dict[str, JsonValue]:
    """What all methods of the comparison had in common, by hash."""
    return {
        "name": results.name,
        "models": list(results.bases),
        **results.hashes,
        "settings_sha256": digest(results.settings),
        "versions": results.environment["packages"],
    }
