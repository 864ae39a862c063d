"""What the commands share that run an experiment or end in a report."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from offline_rl.artifacts.layout import REPORT
from offline_rl.cli.data_commands import quiet_libraries

if TYPE_CHECKING:
    from offline_rl.report import Report
    from offline_rl.workflows.experiment import Step

SOME_FAILED = 3
"""Exit code where a method has failed and the others have finished."""


def run_experiment(
    experiment: str,
    overrides: list[str] | None,
    out: Path | None,
    until: "Step",
    *,
    retry_failed: bool,
) -> None:
    """Runs the steps up to `until` of an experiment, on one base model or several."""
    from offline_rl.config.load import load
    from offline_rl.config.several_models import SeveralModels

    loaded = load(experiment, overrides or [], SeveralModels)
    folder = out or Path("runs") / loaded.name
    quiet_libraries()
    from offline_rl.progress import Terminal
    from offline_rl.workflows.experiment import run as run_one
    from offline_rl.workflows.several_models import run_several_models

    how: Any = {"until": until, "progress": Terminal(console()), "retry_failed": retry_failed}
    if isinstance(loaded, SeveralModels):
        finished = run_several_models(loaded, folder, **how)
    else:
        finished = run_one(loaded, folder, **how)
    conclude(finished, folder)


def conclude(finished: "Report | None", folder: Path, inside: str = REPORT) -> None:
    """Prints the report and where its files are; exit code 3 if a method has failed."""
    from offline_rl.report import FIRST_FILES, print_report

    if finished is None:
        typer.echo(f"done: {folder}")
        return
    print_report(finished, console())
    for name in FIRST_FILES.values():
        if (folder / inside / name).exists():
            typer.echo(folder / inside / name)
    if finished.failures:
        raise typer.Exit(SOME_FAILED)


def console() -> Console:
    """What the commands print on."""
    return Console(soft_wrap=False, highlight=False)
