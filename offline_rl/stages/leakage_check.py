"""Problems that stand in two places: to learn from, to choose on, to be measured by."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from data_gen.problems.sources import ProblemSource
from data_gen.types import DataError
from offline_rl.artifacts.checksums import problems_digest
from offline_rl.artifacts.records import Overlap
from offline_rl.artifacts.stage import Stage
from offline_rl.config.schema import Experiment
from offline_rl.config.sweep_settings import candidates
from offline_rl.stages.context import Run
from offline_rl.stages.policies import training_of


def check_apart(run: Run[Experiment]) -> None:
    """Raises DataError where such problems are in a benchmark, or among those sampled for.

    Settings are chosen on those of the sweep, weights on those of a training's validation.
    """
    settings = run.settings
    others: dict[str, ProblemSource] = {
        f"problems of benchmark {name}": source
        for name, source in settings.evaluation.benchmarks.items()
    }
    if settings.problems is not None:
        others["problems that methods learn from"] = settings.problems
    for setting, what, source in choosing(settings):
        asked = _prompts(run, source)
        for place, other in others.items():
            _refuse(len(asked & _prompts(run, other)), setting, what, place)


def check_apart_from(run: Run[Experiment], dataset: Stage) -> None:
    """As `check_apart`, for rollouts that were not sampled here."""
    if run.settings.rollouts is None:
        return
    learnt = _prompts_in(dataset.folder)
    for setting, what, source in choosing(run.settings):
        both = len(learnt & _prompts(run, source))
        _refuse(both, setting, what, "problems that methods learn from")


def overlap_folder(folder: Path) -> Path:
    """Where a run keeps how much benchmarks and data set have in common."""
    return folder / "overlap"


def overlap_step(run: Run[Experiment], dataset: Stage) -> None:
    """Counts the problems of each benchmark that the data set has too."""
    benchmarks = run.settings.evaluation.benchmarks
    inputs = {
        "dataset": dataset.published.digest(),
        "benchmarks": {
            name: problems_digest(run.problems(source), solutions=False)
            for name, source in benchmarks.items()
        },
    }
    stage = Stage(overlap_folder(run.folder), inputs)
    if not run.is_needed(stage):
        return
    learnt = _prompts_in(dataset.folder)
    asked = {name: _prompts(run, source) for name, source in benchmarks.items()}
    counts = {
        name: Overlap.Counts(problems=len(prompts), shared=len(prompts & learnt))
        for name, prompts in asked.items()
    }
    with run.work(stage) as folder:
        Overlap(benchmarks=counts).write(folder)


def _prompts_in(stage: Path) -> set[str]:
    """Of a stage's rollouts, without white space around them."""
    found: set[str] = set()
    for part in sorted(stage.glob("part-*.parquet")):
        column = pq.read_table(part, columns=["problem"]).column("problem")
        found.update(text.strip() for text in column.unique().to_pylist())
    return found


def _prompts(run: Run[Experiment], source: ProblemSource) -> set[str]:
    return {problem.prompt.strip() for problem in run.problems(source)}


def _refuse(both: int, setting: str, what: str, place: str) -> None:
    if both:
        raise DataError(
            f"{setting}: {both} of them are {place}: {what} must be chosen on others (skip and"
            " limit make parts of one source that have no problem in common)"
        )


def choosing(experiment: Experiment) -> Iterator[tuple[str, str, ProblemSource]]:
    """What problems are set to choose on: the setting, what is chosen, and the problems."""
    if experiment.sweep is not None:
        yield "sweep.problems", "settings", experiment.sweep.problems
    for label, method in candidates(experiment.methods, experiment.sweep):
        validation = training_of(experiment, method).validation
        if validation is not None:
            setting = f"training.validation.problems (of {label})"
            yield setting, "weights", validation.problems
