"""The commands about evaluations and reports: evaluate, report, compare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offline_rl.cli.data_commands import Out, quiet_libraries
from offline_rl.cli.shared import conclude, console, run_experiment

if TYPE_CHECKING:
    from offline_rl.config.checkpoint_evaluation import CheckpointEvaluation
    from offline_rl.settings.report import Format

_EVALUATIONS = Path("runs/evaluations")

RunFolder = Annotated[Path, typer.Argument(help="the folder of a run, or of evaluations")]
_FORMATS_HELP = "csv, html, markdown, latex; several with commas between"


def evaluate(
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[EXPERIMENT] [KEY=VALUE]...",
            help="a settings file, or the name of a shipped experiment; settings: dotted.key=value",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="evaluate this one alone: tiny, a folder, or a hub name"),
    ] = None,
    benchmarks: Annotated[
        str | None,
        typer.Option(
            "--benchmarks",
            help="presets (offline-rl list benchmarks) or files, with commas between",
        ),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="samples of each problem")] = 16,
    label: Annotated[
        str | None, typer.Option("--label", help="of the model in the tables; its name if left out")
    ] = None,
    out: Out = None,
) -> None:
    """Evaluates the base and every policy of an experiment, or with --model any model alone.

    Models that are evaluated into one folder stand side by side in its report.
    """
    from offline_rl.config.load import UsageError

    words = settings or []
    if model is None:
        if benchmarks is not None or label is not None or not words:
            raise UsageError("name an experiment, or give --model and --benchmarks")
        run_experiment(words[0], words[1:], out, "evaluate", retry_failed=False)
        return
    if benchmarks is None:
        raise UsageError("give --benchmarks: presets or files, with commas between")
    loaded = _alone(model, benchmarks, k, label, words)
    quiet_libraries()
    from offline_rl.progress import Terminal
    from offline_rl.workflows.evaluate_checkpoints import evaluate_checkpoint

    folder = out or _EVALUATIONS
    conclude(evaluate_checkpoint(loaded, folder, progress=Terminal(console())), folder)


def report(
    run_folder: RunFolder,
    formats: Annotated[
        str | None,
        typer.Option("--format", help=f"{_FORMATS_HELP}; those of the settings if left out"),
    ] = None,
) -> None:
    """Writes the tables and the page again from what a run's folder holds."""
    from offline_rl.workflows.reports import report_again

    chosen = None if formats is None else _formats(formats)
    conclude(report_again(run_folder, chosen), run_folder)


def compare(
    run_folders: Annotated[
        list[Path], typer.Argument(help="folders of runs that share benchmarks", metavar="RUN...")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="folder of the report; runs/A+B if left out")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option("--reference", help="the label that the others are compared with"),
    ] = None,
    formats: Annotated[str, typer.Option("--format", help=_FORMATS_HELP)] = "csv,html",
) -> None:
    """Joins several runs in one report, and says in what else they differ."""
    from offline_rl.workflows.reports import compare_runs

    folder = out or Path("runs") / "+".join(path.resolve().name for path in run_folders)
    joined = compare_runs(run_folders, folder, reference=reference, formats=_formats(formats))
    conclude(joined, folder, inside="")


def fetch(
    address: Annotated[str, typer.Argument(help="where a run is stored: s3://bucket/folder")],
    out: Out = None,
) -> None:
    """Makes the folder of a run that is stored in an object store."""
    from offline_rl.artifacts.object_store.run_store import fetch as fetch_run
    from offline_rl.progress import Terminal

    folder = out or Path("runs") / address.rstrip("/").rpartition("/")[2]
    fetch_run(address, folder, progress=Terminal(console()))
    typer.echo(folder)


def _formats(text: str) -> "tuple[Format, ...]":
    from offline_rl.config.yaml_io import UsageError
    from offline_rl.settings.report import FORMATS

    wanted = [one.strip() for one in text.split(",")]
    unknown = [one for one in wanted if one not in FORMATS]
    if unknown:
        raise UsageError(f"--format {unknown[0]!r}: choose among {', '.join(FORMATS)}")
    return tuple(one for one in FORMATS if one in wanted)


def _alone(
    model: str, benchmarks: str, k: int, label: str | None, overrides: list[str]
) -> "CheckpointEvaluation":
    from offline_rl.config.checkpoint_evaluation import CheckpointEvaluation
    from offline_rl.config.load import UsageError, load
    from offline_rl.settings.base import label_of

    sources: dict[str, dict[str, str]] = {}
    for one in map(str.strip, benchmarks.split(",")):
        name = label_of(Path(one).stem) if one.endswith((".jsonl", ".parquet")) else one
        if name in sources:
            raise UsageError(
                f"--benchmarks: two are called {name}: name them by settings, as in"
                f" evaluation.benchmarks.OTHER.problems={one}"
            )
        sources[name] = {"source": one}
    options = {
        "name": label or label_of(Path(model).name),
        "model": model,
        "evaluation": {
            "benchmarks": sources,
            "sampling": {"samples": k, "max_tokens": 4096},
            "decodings": {},
        },
    }
    return load(None, overrides, CheckpointEvaluation, options)
