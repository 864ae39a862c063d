"""What a reader must know of a run's problems: overlaps, omissions, caveats."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from eval.notes import Note
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.artifacts.records import (
    DatasetAbout,
    EvaluationInfo,
    Overlap,
    TrainedPolicy,
    TrainingReport,
)
from offline_rl.config.schema import Experiment
from offline_rl.methods.base import Origin
from offline_rl.methods.failure import reason_of

_LITTLE = 0.5


def overlap_note(overlap: Overlap, benchmark: str) -> Iterator[Note]:
    """A sentence where the data set holds problems of a benchmark."""
    counts = overlap.benchmarks.get(benchmark)
    if counts is not None and counts.shared:
        yield Note(
            "data",
            f"{counts.shared} of {counts.problems} problems of benchmark {benchmark} are among the"
            " problems of the data set: its figures tell of memory as well as of skill.",
        )


def benchmark_notes(info: EvaluationInfo) -> Iterator[Note]:
    """Sentences on the problems of one evaluation."""
    if info.left_out_too_long:
        yield Note(
            "data",
            f"{len(info.left_out_too_long)} problems of benchmark {info.benchmark} are longer than"
            " the model's context and were left out for every policy.",
        )
    if info.doubt:
        text = f"Benchmark {info.benchmark} {info.doubt}: do not set it beside published figures."
        yield Note("data", text)


def method_notes(experiment: Experiment, trained: Container[str]) -> Iterator[Note]:
    """Sentences on methods that take the rollouts for something that they are not."""
    here = experiment.rollouts is None and experiment.learn_from == "rollouts"
    origin = Origin(experiment.sampling if here else None, experiment.filters)
    for label, method in experiment.methods.items():
        if label not in trained:
            continue
        try:
            caveats = list(method.caveats(origin))
        # A package's failing method must not keep anybody from the results.
        except Exception as error:
            caveats = [f"failed to state its caveats: {reason_of(error, method)}."]
        yield from (Note("method", f"{label} {caveat}") for caveat in caveats)


def code_notes(policies: Iterable[TrainedPolicy]) -> Iterator[Note]:
    """A sentence on each method of another package."""
    packages: dict[str, dict[str, None]] = {}
    for policy in policies:
        code = policy.outcome.code
        if code:
            packages.setdefault(policy.label, {})[" ".join(code.values())] = None
    for label, several in packages.items():
        text = f"{label} is a method of another package: {' and '.join(several)}."
        yield Note("method", text)
        if len(several) > 1:
            text = f"The seeds of {label} were trained by several versions: run it again."
            yield Note("fairness", text)


def import_notes(dataset: PublishedStage) -> Iterator[Note]:
    """A sentence where what was brought from elsewhere does not teach when to stop."""
    imported = dataset.read(DatasetAbout).imported
    if imported is not None and imported.without_end_token:
        yield Note(
            "data",
            f"The token ids of {imported.without_end_token} imported completions that ended by"
            " themselves have no end-of-sequence token: they do not teach when to stop. Import the"
            " texts alone, or ids with that token.",
        )


def rounding_notes(
    policies: Sequence[TrainedPolicy], engines: Sequence[Mapping[str, str]]
) -> Iterator[Note]:
    """A sentence on policies that are nearly the base again where they are sampled."""
    shares: dict[str, list[float]] = {}
    for policy in policies:
        outcome = policy.outcome
        if isinstance(outcome, TrainingReport) and outcome.update_kept_in_bfloat16 is not None:
            shares.setdefault(policy.label, []).append(outcome.update_kept_in_bfloat16)
    means = {label: sum(found) / len(found) for label, found in shares.items()}
    little = [f"{label} {100 * share:.0f}%" for label, share in means.items() if share < _LITTLE]
    if little and any(engine.get("dtype") == "bfloat16" for engine in engines):
        yield Note(
            "sampling",
            "Policies were sampled in bfloat16, to which weights that training moved a little are"
            f" rounded back. Still other than the base's, of those that moved: {', '.join(little)}."
            " `evaluation: {sampler: {dtype: float32}}` measures all of it.",
        )


def damage_notes(damaged: Sequence[str]) -> Iterator[Note]:
    """A sentence on files that a report does not use, for they changed after they were written."""
    if damaged:
        more = f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""
        yield Note(
            "missing",
            f"Left out as damaged: {'; '.join(damaged[:3])}{more}. The same run makes them again.",
        )
