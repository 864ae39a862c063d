"""The data set that all methods learn from: the rollouts that the filters leave."""

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_gen.cards.dataset_card import summarise
from data_gen.cards.pair_stats import audit_pairs
from data_gen.filters import Choice, choose
from data_gen.store.rollouts import iterate_rollouts, save_rollouts
from data_gen.types import DataError, Problem, Rollout, Verdict
from data_gen.verifiers.agreement import agreement
from data_gen.views import pairs, problem_groups
from offline_rl.artifacts.layout import ABOUT, SUMMARY
from offline_rl.artifacts.stage import Stage
from offline_rl.config.schema import Experiment
from offline_rl.progress import Task
from offline_rl.settings.data import Audit, DataSettings
from offline_rl.stages.context import Run
from offline_rl.stages.sample import describe, problems_source

DROPPED = "dropped.jsonl"
DISAGREEMENTS = "audit.jsonl"
# Problems in one file.
_PART_PROBLEMS = 512


def dataset_folder(folder: Path) -> Path:
    """Where a run keeps what its methods learn from."""
    return folder / "dataset"


def dataset_step(run: Run[DataSettings], rollouts: Stage) -> Stage:
    """The finished stage that holds the filtered rollouts, their card and what fell out."""
    settings = run.settings
    against = _benchmarks(run)
    inputs = {
        "rollouts": rollouts.published.digest(),
        "filters": settings.filters.model_dump(mode="json", exclude={"decontaminate"}),
        "decontaminate": _decontamination(run, against),
        "selection": settings.selection.model_dump(mode="json"),
        "pair_seed": _pair_seed(settings),
        "audit": _audit_settings(settings.audit),
        "name": settings.name,
        "licence": settings.licence,
    }
    stage = Stage(dataset_folder(run.folder), inputs)
    if run.is_needed(stage):
        with run.work(stage) as folder:
            _fill(run, rollouts.folder, folder, against)
    return stage


def _fill(
    run: Run[DataSettings], sampled: Path, folder: Path, against: dict[str, tuple[Problem, ...]]
) -> None:
    settings = run.settings
    sampled_summary = json.loads((sampled / SUMMARY).read_text(encoding="utf-8"))
    with run.progress.task("filter", "rollouts") as task:
        choice = choose(
            _with_progress(
                iterate_rollouts(sampled, untrusted=False), task, sampled_summary["rollouts"]
            ),
            settings.filters,
            min_reward=settings.selection.min_reward,
            benchmarks=against,
        )
        _check_something_is_left(choice)
        _write_parts(choice.of(iterate_rollouts(sampled, untrusted=False)), folder)
    with (folder / DROPPED).open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(asdict(one))}\n" for one in choice.dropped)
    summary = {
        "sampled": sampled_summary,
        "filters": {
            passage.filter: {
                "problems": passage.problems,
                "rollouts": passage.rollouts,
                "accepted": passage.accepted,
            }
            for passage in choice.funnel
        },
        "dataset": summarise(
            iterate_rollouts(folder, untrusted=False), min_reward=settings.selection.min_reward
        ),
        "pairs": audit_pairs(_pairs(settings, folder)),
        "audit": _audit(run, sampled, folder),
    }
    about = json.loads((sampled / ABOUT).read_text(encoding="utf-8")) | {
        "filters": settings.filters.model_dump(mode="json", exclude_defaults=True),
        "decontaminated_against": _decontamination(run, against),
        "selection": settings.selection.model_dump(mode="json"),
        "audit": _audit_settings(settings.audit),
    }
    describe(settings.name, summary, about, folder, settings.licence)


def _with_progress(rollouts: Iterable[Rollout], task: Task, total: int) -> Iterator[Rollout]:
    """The rollouts, with their progress reported now and then."""
    for number, rollout in enumerate(rollouts, 1):
        if number % 1000 == 0 or number == total:
            task.update(number, total)
        yield rollout


def _write_parts(rollouts: Iterable[Rollout], folder: Path) -> None:
    for part in folder.glob("part-*.parquet"):
        part.unlink()
    groups = problem_groups(rollouts)
    for number in itertools.count():
        some = list(itertools.islice(groups, _PART_PROBLEMS))
        if not some:
            return
        rows = [rollout for group in some for rollout in group]
        save_rollouts(rows, folder / f"part-{number:05}.parquet")


def _check_something_is_left(choice: Choice) -> None:
    if choice.funnel[-1].rollouts:
        return
    last = next(passage for passage in choice.funnel if not passage.rollouts)
    why = Counter(one.why for one in choice.dropped if one.filter == last.filter)
    most = f", most often because: {why.most_common(1)[0][0]}" if why else ""
    raise DataError(f"filters.{last.filter} leaves no rollout at all{most}")


def _pairs(settings: DataSettings, folder: Path) -> Iterator[tuple[Rollout, Rollout]]:
    """The pairs that the first training seed gets."""
    selection = settings.selection
    seed = _pair_seed(settings)
    for group in problem_groups(iterate_rollouts(folder, untrusted=False)):
        yield from pairs(
            group,
            min_reward=selection.min_reward,
            policy=selection.pairs.policy,
            per_problem=selection.pairs.per_problem,
            unique=selection.unique,
            seed=seed,
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
) -> dict[str, Any] | None:
    settings = run.settings.filters.decontaminate
    if settings is None:
        return None
    sets = {name: problems_source(None, problems) for name, problems in against.items()}
    return {"ngram": settings.ngram, "benchmarks": sets}


def _audit_settings(audit: Audit | None) -> dict[str, Any] | None:
    if audit is None:
        return None
    return {"share": audit.share, "verifier": audit.verifier.description}


def _audit(run: Run[DataSettings], sampled: Path, folder: Path) -> dict[str, Any] | None:
    """Judges a share of the rollouts a second time and notes where the verifiers differ."""
    audit = run.settings.audit
    if audit is None:
        return None
    drawn = [
        rollout
        for rollout in iterate_rollouts(sampled, untrusted=False)
        if random.Random(f"{rollout.problem.id}/{rollout.completion.sample}").random() < audit.share
    ]
    first = [rollout.verdict for rollout in drawn]
    with run.progress.task("audit", "verdicts") as task, audit.verifier.open() as verify:
        second = verify([(rollout.problem.answer, rollout.completion.text) for rollout in drawn])
        task.update(len(drawn))
    with (folder / DISAGREEMENTS).open("w", encoding="utf-8") as file:
        for rollout, other in zip(drawn, second, strict=True):
            if rollout.verdict.label != other.label:
                file.write(f"{json.dumps(_disagreement(rollout, other))}\n")
    return agreement(first, second)


def _disagreement(rollout: Rollout, other: Verdict) -> dict[str, Any]:
    return {
        "problem_id": rollout.problem.id,
        "sample": rollout.completion.sample,
        "gold": rollout.problem.answer,
        "first": asdict(rollout.verdict),
        "second": asdict(other),
    }
