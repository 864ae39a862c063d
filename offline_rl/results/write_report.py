"""Compares what a run has found and writes the report's files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from offline_rl.artifacts.atomic import write_atomically
from offline_rl.artifacts.checksums import digest
from offline_rl.artifacts.layout import REPORT
from offline_rl.config.schema import Experiment
from offline_rl.report import Report, write_report
from offline_rl.results.collect import gather
from offline_rl.results.run_results import Findings, report_on
from offline_rl.settings.report import Format

_COMMON = "manifest.json"


def results_step(
    experiment: Experiment, folder: Path, formats: Sequence[Format] | None = None
) -> Report:
    """Compares the finished evaluations and writes the report's files, those of the settings unless
    others are given."""
    findings = gather(experiment, folder)
    report = report_on(findings)
    write_report(folder / REPORT, report, formats or experiment.report.formats)
    manifest = json.dumps(_manifest(findings), indent=1) + "\n"
    write_atomically(folder / REPORT / _COMMON, manifest)
    return report


def _manifest(findings: Findings) -> dict[str, Any]:
    """What all methods of the comparison had in common, by hash."""
    return {
        "name": findings.name,
        "models": list(findings.bases),
        **findings.hashes,
        "settings_sha256": digest(findings.settings),
        "versions": findings.environment["packages"],
    }
