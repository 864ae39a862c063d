"""The `offline-rl` command. Heavy imports wait for the command that needs them."""

import select
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console
from rich.text import Text

from offline_rl.cli import data_commands, report_commands
from offline_rl.cli.data_commands import Out, quiet_libraries, split_settings
from offline_rl.cli.shared import console, run_experiment

P = ParamSpec("P")

app = typer.Typer(
    help="Generate reward-filtered rollouts, train offline RL methods on them, compare them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_debug = False

File = Annotated[str, typer.Argument(help="a settings file, or the name of a shipped experiment")]
Overrides = Annotated[list[str] | None, typer.Argument(help="settings: dotted.key=value")]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="train methods again that failed before")
]


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"offline-rl {version('offline-rl')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks of errors")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="print the version and exit"
        ),
    ] = False,
) -> None:
    global _debug
    _debug = debug


def _plain_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Errors that a user can mend become one line and exit code 1."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        from data_gen.processes.child import ChildDied
        from data_gen.samplers.base import EngineError
        from data_gen.types import DataError

        try:
            command(*args, **kwargs)
        except (DataError, EngineError, ChildDied, OSError) as error:
            # Typer ends a command that nobody reads without a word.
            if _debug or (isinstance(error, BrokenPipeError) and _nobody_reads()):
                raise
            _say(f"error: {str(error) or type(error).__name__}")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            _say("error: interrupted; the same command goes on from here")
            raise typer.Exit(130) from error

    return wrapped


def _nobody_reads() -> bool:
    """Whether standard output is a pipe whose reader has gone, as behind `head`."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in output.poll(0))


def _say(message: str) -> None:
    from offline_rl.progress import printable

    Console(stderr=True).print(Text(printable(message)), soft_wrap=True)


@app.command()
@_plain_errors
def demo(overrides: Overrides = None, out: Out = None, retry_failed: RetryFailed = False) -> None:
    """Runs the whole comparison on the embedded tiny base, in minutes on a CPU."""
    run_experiment("demo", overrides, out, "report", retry_failed=retry_failed)


@app.command()
@_plain_errors
def run(
    experiment: File,
    overrides: Overrides = None,
    out: Out = None,
    retry_failed: RetryFailed = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print stages and costs, touch no model")
    ] = False,
) -> None:
    """Generates, trains, evaluates and reports; what is finished and unchanged is skipped."""
    if not dry_run:
        run_experiment(experiment, overrides, out, "report", retry_failed=retry_failed)
        return
    from offline_rl.config.load import load
    from offline_rl.config.several_models import SeveralModels
    from offline_rl.workflows.dry_run import print_plan

    loaded = load(experiment, overrides or [], SeveralModels)
    folder = out or Path("runs") / loaded.name
    if isinstance(loaded, SeveralModels):
        for label, one in loaded.experiments.items():
            print_plan(one, folder / label, console())
    else:
        print_plan(loaded, folder, console())


@app.command()
@_plain_errors
def train(
    experiment: File,
    overrides: Overrides = None,
    out: Out = None,
    retry_failed: RetryFailed = False,
) -> None:
    """Trains every method with every seed, after the steps before it."""
    run_experiment(experiment, overrides, out, "train", retry_failed=retry_failed)


@app.command()
@_plain_errors
def doctor(
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[EXPERIMENT] [KEY=VALUE]...",
            help="a settings file, or the name of a shipped experiment, demo if left out;"
            " settings: dotted.key=value",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="in its place: tiny, a folder, or a hub name")
    ] = None,
) -> None:
    """Proves on this machine that training computes what it says; exit code 1 if it does not."""
    from offline_rl.config.load import load
    from offline_rl.config.schema import Experiment

    file, overrides = split_settings(settings)
    options = {} if model is None else {"model": model}
    loaded = load(file or "demo", overrides, Experiment, options)
    quiet_libraries()
    from offline_rl.doctor.diagnose import diagnose, print_findings
    from offline_rl.progress import Terminal

    found = diagnose(loaded, Terminal(console()))
    print_findings(found, console())
    if any(one.result == "fail" for one in found):
        raise typer.Exit(1)


for _command in (
    data_commands.generate,
    data_commands.show,
    data_commands.export,
    data_commands.push,
    report_commands.evaluate,
    report_commands.report,
    report_commands.compare,
    report_commands.fetch,
):
    app.command()(_plain_errors(_command))


@app.command("list")
@_plain_errors
def list_names(
    what: Annotated[
        str,
        typer.Argument(
            help="methods, problems, benchmarks, verifiers, samplers, experiments, settings"
        ),
    ],
) -> None:
    """Lists what a settings file can name."""
    from offline_rl.cli.list_names import listing
    from offline_rl.progress import printable

    rows = listing(what)
    width = max(len(name) for name, _ in rows)
    for name, meaning in rows:
        typer.echo(printable(f"{name:<{width}}  {meaning}"))


@app.command("tiny-base")
@_plain_errors
def tiny_base(
    out: Annotated[Path, typer.Option("--out", help="the folder to write the model to")],
    seed: Annotated[int, typer.Option(min=0, help="seed of the recipe")] = 0,
) -> None:
    """Pretrains the embedded tiny base model again and measures it, in some minutes."""
    quiet_libraries()
    from data_gen.model_ref import ModelRef
    from data_gen.samplers import AutoSettings
    from offline_rl.progress import Terminal
    from offline_rl.stages.engines import Engines
    from offline_rl.tiny_base.figures import measure_tiny_base, save_figures
    from offline_rl.tiny_base.recipe import build_tiny_base

    progress = Terminal(console())
    with progress.task("pretrain", "documents") as task:
        facts = build_tiny_base(out, seed=seed, on_progress=task.update)
    model = ModelRef(str(out))
    with Engines(AutoSettings(), "raw", progress, base=model) as engines:
        sample = engines.sampler(model)
        with progress.task("measure", "conditions") as task:
            figures = measure_tiny_base(sample, on_progress=task.update)
    save_figures(figures, out)
    typer.echo(f"{out}: {facts['held_out_nll']:.3f} nats a token on held-out documents")
    for one in figures:
        typer.echo(f"{one.split} at temperature {one.temperature:g}: {one.accuracy:.1%} correct")


def main() -> Any:
    """Entry point of the console script."""
    try:
        sys.exit(app())
    # Python would print the message of an error, which may quote hostile text, as it is.
    except Exception:
        _say(traceback.format_exc())
        sys.exit(1)
