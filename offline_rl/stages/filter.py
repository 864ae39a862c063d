"""The data set that all methods learn from: the rollouts that the filters leave."""

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from data_gen.cards.origin import Audited, Decontaminated
from data_gen.cards.pair_stats import PairCounter, PairCounts
from data_gen.cards.rollout_counts import DatasetCounter, DatasetCounts
from data_gen.filters import Choice, choose
from data_gen.store.rollouts import iterate_rollouts, save_rollouts
from data_gen.store.table_files import Row
from data_gen.types import DataError, Label, Problem, Rollout, Verdict
from data_gen.verifiers.agreement import Agreement, agreement
from data_gen.views import pairs, problem_groups
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.artifacts.records import (
    DatasetAbout,
    DatasetSummary,
    RolloutsAbout,
    RolloutsSummary,
)
from offline_rl.artifacts.stage import Stage
from offline_rl.config.schema import Experiment
from offline_rl.progress import Task
from offline_rl.settings.data import Audit, DataSettings
from offline_rl.stages.context import Run
from offline_rl.stages.sample import describe, problem_set

DROPPED = "dropped.jsonl"
DISAGREEMENTS = "audit.jsonl"
# Problems in one file.
_PART_PROBLEMS = 512
# Verdicts that are asked for together.
_AUDITED_ROLLOUTS = 4096


def dataset_folder(folder: Path) -> Path:
    """Where a run keeps what its methods learn from."""
    return folder / "dataset"


def dataset_step(run: Run[DataSettings], rollouts: Stage) -> Stage:
    """The finished stage that holds the filtered rollouts, their card and what fell out."""
    settings = run.settings
    against = _benchmarks(run)
    decontaminated, audited = _decontamination(run, against), _audited(settings.audit)
    inputs = {
        "rollouts": rollouts.published.digest(),
        "filters": settings.filters.model_dump(mode="json", exclude={"decontaminate"}),
        "decontaminate": None if decontaminated is None else decontaminated.model_dump(),
        "selection": settings.selection.model_dump(mode="json"),
        "pair_seed": _pair_seed(settings),
        "audit": None if audited is None else audited.model_dump(),
        "name": settings.name,
        "licence": settings.licence,
    }
    stage = Stage(dataset_folder(run.folder), inputs)
    if run.is_needed(stage):
        with run.work(stage) as folder:
            _fill(run, rollouts.published, folder, against, decontaminated)
    return stage


def _fill(
    run: Run[DataSettings],
    sampled: PublishedStage,
    folder: Path,
    against: dict[str, tuple[Problem, ...]],
    decontaminated: Decontaminated | None,
) -> None:
    settings = run.settings
    counts = sampled.read(RolloutsSummary)
    with run.progress.task("filter", "rollouts") as task:
        rollouts = iterate_rollouts(sampled.folder, untrusted=False)
        choice = choose(
            _with_progress(rollouts, task, counts.rollouts),
            settings.filters,
            min_reward=settings.selection.min_reward,
            benchmarks=against,
        )
        _check_something_is_left(choice)
        kept = choice.of(iterate_rollouts(sampled.folder, untrusted=False))
        dataset, pair_counts = _write_parts(kept, settings, folder)
    with (folder / DROPPED).open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(asdict(one))}\n" for one in choice.dropped)
    summary = DatasetSummary(
        sampled=counts,
        filters={passage.filter: passage.counts() for passage in choice.funnel},
        dataset=dataset,
        pairs=pair_counts,
        audit=_audit(run, sampled.folder, folder),
    )
    about = DatasetAbout(
        **dict(sampled.read(RolloutsAbout)),
        filters=settings.filters,
        decontaminated_against=decontaminated,
        selection=settings.selection,
        audit=_audited(settings.audit),
    )
    describe(settings.name, summary, about, folder, settings.licence)


def _with_progress(rollouts: Iterable[Rollout], task: Task, total: int) -> Iterator[Rollout]:
    """The rollouts, with their progress reported now and then."""
    for number, rollout in enumerate(rollouts, 1):
        if number % 1000 == 0 or number == total:
            task.update(number, total)
        yield rollout


def _write_parts(
    rollouts: Iterable[Rollout], settings: DataSettings, folder: Path
) -> tuple[DatasetCounts, PairCounts]:
    """Writes the rollouts, some problems a file, and counts them and their pairs."""
    for part in folder.glob("part-*.parquet"):
        part.unlink()
    counter, pair_counter = DatasetCounter(settings.selection.min_reward), PairCounter()
    groups = problem_groups(rollouts)
    for number in itertools.count():
        rows = [rollout for group in itertools.islice(groups, _PART_PROBLEMS) for rollout in group]
        if not rows:
            break
        save_rollouts(rows, folder / f"part-{number:05}.parquet")
        counter.add(rows)
        pair_counter.add(_pairs(settings, rows))
    return counter.dataset(), pair_counter.counts()


def _check_something_is_left(choice: Choice) -> None:
    if choice.funnel[-1].rollouts:
        return
    last = next(passage for passage in choice.funnel if not passage.rollouts)
    why = Counter(one.why for one in choice.dropped if one.filter == last.filter)
    most = f", most often because: {why.most_common(1)[0][0]}" if why else ""
    raise DataError(f"filters.{last.filter} leaves no rollout at all{most}")


def _pairs(settings: DataSettings, rollouts: list[Rollout]) -> list[tuple[Rollout, Rollout]]:
    """The pairs of some problems that the first training seed gets."""
    selection = settings.selection
    return pairs(
        rollouts,
        min_reward=selection.min_reward,
        policy=selection.pairs.policy,
        per_problem=selection.pairs.per_problem,
        unique=selection.unique,
        seed=_pair_seed(settings),
    )


def _pair_seed(settings: DataSettings) -> int:
    return settings.seeds[0] if isinstance(settings, Experiment) else 0


def _benchmarks(run: Run[DataSettings]) -> dict[str, tuple[Problem, ...]]:
    """The problems to stay clear of: the run's own benchmarks, and those named besides."""
    settings = run.settings
    if settings.filters.decontaminate is None:
        return {}
    sources = dict(settings.filters.decontaminate.benchmarks)
    if isinstance(settings, Experiment):
        sources = {**settings.evaluation.benchmarks, **sources}
    if not sources:
        raise DataError("filters.decontaminate: name the benchmarks to stay clear of")
    return {name: run.problems(source) for name, source in sources.items()}


def _decontamination(
    run: Run[DataSettings], against: dict[str, tuple[Problem, ...]]
) -> Decontaminated | None:
    settings = run.settings.filters.decontaminate
    if settings is None:
        return None
    sets = {name: problem_set(problems) for name, problems in against.items()}
    return Decontaminated(ngram=settings.ngram, benchmarks=sets)


def _audited(audit: Audit | None) -> Audited | None:
    if audit is None:
        return None
    return Audited(share=audit.share, verifier=audit.verifier.description)


def _audit(run: Run[DataSettings], sampled: Path, folder: Path) -> Agreement | None:
    """Judges a share of the rollouts a second time and notes where the verifiers differ."""
    audit = run.settings.audit
    if audit is None:
        return None
    drawn = (
        rollout
        for rollout in iterate_rollouts(sampled, untrusted=False)
        if random.Random(f"{rollout.problem.id}/{rollout.completion.sample}").random() < audit.share
    )
    labels: Counter[tuple[Label, Label]] = Counter()
    with (
        run.progress.task("audit", "verdicts") as task,
        audit.verifier.open() as verify,
        (folder / DISAGREEMENTS).open("w", encoding="utf-8") as file,
    ):
        while some := list(itertools.islice(drawn, _AUDITED_ROLLOUTS)):
            second = verify([(one.problem.answer, one.completion.text) for one in some])
            for rollout, other in zip(some, second, strict=True):
                labels[rollout.verdict.label, other.label] += 1
                if rollout.verdict.label != other.label:
                    file.write(f"{json.dumps(_disagreement(rollout, other))}\n")
            task.update(labels.total())
    return agreement(labels)


def _disagreement(rollout: Rollout, other: Verdict) -> Row:
    return {
        "problem_id": rollout.problem.id,
        "sample": rollout.completion.sample,
        "gold": rollout.problem.answer,
        "first": asdict(rollout.verdict),
        "second": asdict(other),
    }
