"""The commands about data sets: generate, show, export, push."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from offline_rl.artifacts.layout import (
    SETTINGS,
    Kind,
    dataset_path,
    has_evaluations,
    is_untrusted,
)

if TYPE_CHECKING:
    from offline_rl.config.yaml_io import RawSettings
    from offline_rl.settings.data import DataSettings

_MOST = 10

Source = Annotated[
    Path, typer.Argument(help="a run's folder, a data set's folder, or a file of rollouts")
]


Out = Annotated[
    Path | None, typer.Option("--out", help="the run's folder; runs/<name> if left out")
]
What = Annotated[
    Kind | None,
    typer.Option(
        "--what", help="of a run: what its filters left (the default), or all that was sampled"
    ),
]


def generate(
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE] [KEY=VALUE]...",
            help="a settings file, or the name of a shipped experiment; settings: dotted.key=value",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="tiny, a folder, or a hub name")
    ] = None,
    problems: Annotated[
        str | None, typer.Option("--problems", help="a preset, a file, or a data set of the hub")
    ] = None,
    rollouts: Annotated[
        str | None, typer.Option("--rollouts", help="a file of rollouts to take instead")
    ] = None,
    out: Out = None,
    to_hub: Annotated[
        str | None,
        typer.Option("--push", help="upload the data set to the hub, in private: user/name"),
    ] = None,
) -> None:
    """Samples, verifies and filters rollouts, or imports them: the data set alone.

    With --model, and --problems or --rollouts, no settings file is needed.
    """
    if to_hub is not None:
        from data_gen.exchange.hub import check_destination

        # Before there is anything to push.
        check_destination(to_hub)
    loaded = load_data_settings(settings, model=model, problems=problems, rollouts=rollouts)
    quiet_libraries()
    from offline_rl.artifacts.published_stage import PublishedStage
    from offline_rl.artifacts.records import DatasetSummary
    from offline_rl.progress import Terminal
    from offline_rl.workflows.experiment import generate as generate_data

    console = Console(soft_wrap=False, highlight=False)
    made = generate_data(loaded, out or Path("runs") / loaded.name, progress=Terminal(console))
    counts = PublishedStage(made).read(DatasetSummary).dataset
    typer.echo(
        f"{made}: {counts.rollouts} rollouts of {counts.problems} problems,"
        f" {counts.accepted} accepted"
    )
    if to_hub is not None:
        push(made, to_hub)


def show(
    source: Source,
    rollouts: Annotated[
        int | None,
        typer.Option("--rollouts", min=1, help="print rollouts to read, so many at most"),
    ] = None,
    problem: Annotated[
        str | None, typer.Option("--problem", help="print the rollouts of the problem with this id")
    ] = None,
    only: Annotated[
        Literal["mixed", "correct", "wrong", "unverifiable"] | None,
        typer.Option("--only", help="print rollouts of this verdict, or of mixed problems"),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="print long texts whole, not shortened in the middle")
    ] = False,
    what: What = None,
) -> None:
    """Prints the comparison of a run, or what a data set holds, or rollouts to read."""
    console = Console(soft_wrap=False, highlight=False)
    reading = rollouts is not None or problem is not None or only is not None or full
    if not reading and what is None and has_evaluations(source):
        from offline_rl.report import print_report
        from offline_rl.results.find import load_run

        print_report(load_run(source), console)
        return
    path = dataset_path(source, what)
    if not reading:
        from offline_rl.cli.show_dataset import print_overview

        print_overview(path, console, untrusted=is_untrusted(source))
        return
    from offline_rl.cli.show_rollouts import print_rollouts

    print_rollouts(
        path,
        console,
        most=rollouts if rollouts is not None or problem is not None else _MOST,
        problem=problem,
        only=only,
        full=full,
        untrusted=is_untrusted(source),
    )


def export(
    source: Source,
    kind: Annotated[
        Literal["prompt-completion", "preference", "unpaired-preference"],
        typer.Option("--format", help="the data-set format of TRL"),
    ],
    out: Annotated[Path, typer.Option("--out", help="the .jsonl or .parquet file to write")],
    what: What = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="the model that will be trained, to check how TRL tokenises; a run's own if left"
            " out",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="seed of the pairs")] = 0,
) -> None:
    """Writes accepted rollouts, or pairs, as a file that TRL's trainers learn from."""
    # A tokenizer would warn of texts longer than the model's context, which no model sees here.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from data_gen.exchange.export_trl import export_rollouts
    from data_gen.model_ref import ModelRef
    from data_gen.remote_code import check_code
    from data_gen.samplers.tokenizer import load_tokenizer
    from data_gen.store.rollouts import iterate_rollouts
    from offline_rl.settings.data import TINY
    from offline_rl.tiny_base import TINY_BASE

    path = dataset_path(source, what)
    settings = _settings(source)
    tokenizer = None
    if model is not None:
        tokenizer = load_tokenizer(ModelRef(str(TINY_BASE) if model == TINY else model))
    elif settings is not None:
        check_code(settings.base_model)
        tokenizer = load_tokenizer(settings.base_model)
    done = export_rollouts(
        list(iterate_rollouts(path, untrusted=is_untrusted(source))),
        out,
        kind,
        selection=None if settings is None else settings.selection,
        seed=seed,
        tokenizer=tokenizer,
    )
    typer.echo(f"{out}: {done.rows} rows of {done.problems} problems")
    if done.retokenised:
        typer.echo(
            f"note: TRL tokenises {done.retokenised} of {done.rows} rows otherwise than they were"
            " sampled",
            err=True,
        )


def push(
    source: Source,
    name: Annotated[str, typer.Argument(help="the data set's name on the hub: user/name")],
    public: Annotated[bool, typer.Option("--public", help="let everybody read it")] = False,
    what: What = None,
) -> None:
    """Uploads a data set with its card to the hub; the token is read from HF_TOKEN."""
    from data_gen.exchange import hub
    from offline_rl.progress import printable

    address = hub.push(dataset_path(source, what), name, private=not public)
    Console().print(Text(f"pushed: {printable(address)}"), soft_wrap=True)


def load_data_settings(
    words: list[str] | None,
    *,
    model: str | None = None,
    problems: str | None = None,
    rollouts: str | None = None,
) -> "DataSettings":
    """The settings of a data set as a command line gives them.

    `words` are `key=value` settings, before which a settings file may be named: of a data set, or
    of a whole experiment. `model`, the source of `problems` and the path of `rollouts` replace the
    file's, or make a file needless. Raises UsageError.
    """
    from offline_rl.config.load import UsageError, load
    from offline_rl.settings.base import label_of
    from offline_rl.settings.data import DataSettings

    file, overrides = split_settings(words)
    origin = problems if rollouts is None else rollouts
    options: RawSettings = {} if model is None else {"model": model}
    if origin is not None:
        options["problems"] = None if problems is None else {"source": problems}
        options["rollouts"] = None if rollouts is None else {"path": rollouts}
    if file is None:
        if model is None or origin is None:
            raise UsageError("name a settings file, or give --model and --problems (or --rollouts)")
        options["name"] = label_of(Path(origin).stem)
    return load(file, overrides, DataSettings, options)


def split_settings(words: list[str] | None) -> tuple[str | None, list[str]]:
    """The settings file that stands before `key=value` settings, if any, and these."""
    if words and ("=" not in words[0] or os.path.isfile(words[0])):
        return words[0], words[1:]
    return None, words or []


def _settings(source: Path) -> "DataSettings | None":
    """Those of a run's folder."""
    from offline_rl.config.load import load
    from offline_rl.settings.data import DataSettings

    file = source / SETTINGS
    return load(file, [], DataSettings) if file.is_file() else None


def quiet_libraries() -> None:
    """Keeps libraries from writing over the progress bars."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", module=r"(trl|transformers|torch|accelerate)\b")
