"""What a run would do and cost, before any model is touched."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data_gen.problems.presets import BUILT_IN_COUNT, PRESETS
from data_gen.problems.sources import BUILT_IN, ProblemSource
from data_gen.types import DataError, Sampling
from offline_rl.artifacts.manifest import check_format
from offline_rl.config.dump import dump_settings
from offline_rl.config.schema import Experiment
from offline_rl.settings.evaluation import BASE
from offline_rl.settings.training import resolve_training
from offline_rl.stages.leakage_check import choosing

# Text, ids and log-probabilities of one completion token, as Parquet keeps them.
_BYTES_PER_TOKEN = 9


@dataclass(frozen=True)
class Cost:
    """One step's size. Tokens are the most it can be: completions as long as `max_tokens`."""

    step: str
    what: str
    completions: int = 0
    max_tokens: int = 0

    @property
    def max_bytes(self) -> int:
        return self.max_tokens * _BYTES_PER_TOKEN


def plan(experiment: Experiment) -> list[Cost]:
    """The steps of a run in their order. How much the hub holds is not known.

    Raises DataError, as the run does, for a local file that cannot be used.
    """
    _check_files(experiment)
    costs = [_rollouts(experiment)]
    for label, method in experiment.methods.items():
        training = resolve_training(method.training_defaults, experiment.training, method.training)
        length = f"{training.steps} steps" if training.steps else f"{training.epochs:g} epochs"
        costs.append(
            Cost(
                f"train {label}",
                f"{len(experiment.seeds)} seeds x {length} of {training.examples_per_step}"
                f" examples, lr {training.lr:g}, {training.precision}",
            )
        )
    trained = len(experiment.seeds)
    for name, source in experiment.evaluation.benchmarks.items():
        asked = [(BASE, 1), *((label, trained) for label in experiment.methods)]
        each = [
            (copies, sampling)
            for policy, copies in asked
            for sampling in experiment.evaluation.decoded(policy, name).values()
        ]
        size = _size(source)
        problems = f"{size} problems" if size else "a set of unknown size"
        rows = sum(copies for copies, _ in each)
        per_problem = sum(copies * sampling.samples for copies, sampling in each)
        longest = max(sampling.max_tokens for _, sampling in each)
        completions = (size or 0) * per_problem
        costs.append(
            Cost(
                f"evaluate on {name}",
                f"{problems}, {rows} policies and decodings of them",
                completions,
                completions * longest,
            )
        )
    return costs


def print_plan(experiment: Experiment, folder: Path, console: Console) -> None:
    """Prints the resolved settings and a table of the steps. Raises DataError, as `plan` does."""
    check_format(folder)
    costs = plan(experiment)
    console.print(dump_settings(experiment), markup=False, soft_wrap=True)
    table = Table("step", "what", title=f"{experiment.name} -> {folder}")
    for heading in ("completions", "tokens, at most", "disk, at most"):
        table.add_column(heading, justify="right")
    for cost in costs:
        table.add_row(
            cost.step,
            cost.what,
            f"{cost.completions:,}" if cost.completions else "",
            f"{cost.max_tokens:,}" if cost.max_tokens else "",
            f"{cost.max_bytes / 2**30:,.2f} GiB" if cost.max_bytes else "",
        )
    console.print(table)


def _rollouts(experiment: Experiment) -> Cost:
    if experiment.problems is None:
        return Cost("rollouts", f"imported from {experiment.rollouts}")
    sampling: Sampling = experiment.sampling
    size = _size(experiment.problems)
    completions = (size or 0) * sampling.samples
    what = f"{size} problems" if size else "a set of unknown size"
    return Cost(
        "rollouts",
        f"{what} x {sampling.samples} samples at temperature {sampling.temperature:g}",
        completions,
        completions * sampling.max_tokens,
    )


def _check_files(experiment: Experiment) -> None:
    """Reads the local files that have no step of their own in the plan."""
    if experiment.rollouts is not None and not Path(experiment.rollouts.path).exists():
        raise DataError(f"{experiment.rollouts.path}: no such file or folder")
    sources = [source for _, _, source in choosing(experiment)]
    if experiment.filters.decontaminate is not None:
        sources += experiment.filters.decontaminate.benchmarks.values()
    for source in sources:
        if source.file is not None:
            source.load()


def _size(source: ProblemSource) -> int | None:
    """How many problems a source gives at most; None where only the hub would tell."""
    if source.file is not None:
        return len(source.load())
    if source.source == BUILT_IN:
        return source.limit or BUILT_IN_COUNT
    known = PRESETS.get(source.source)
    rows = None if known is None or known.rows is None else max(0, known.rows - source.skip)
    if source.limit is None or rows is None:
        return source.limit or rows
    return min(source.limit, rows)
