"""The whole comparison as one straight line on disk; what is finished and unchanged is skipped."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

from offline_rl.artifacts.atomic import write_atomically
from offline_rl.artifacts.checksums import DamagedArtifact
from offline_rl.artifacts.layout import REPORT, SETTINGS
from offline_rl.artifacts.object_store.run_store import put_snapshot
from offline_rl.artifacts.provenance import describe_environment
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.artifacts.records import EvaluationInfo, RolloutsAbout
from offline_rl.artifacts.stage import Stage
from offline_rl.config.dump import dump_settings, settings_digest
from offline_rl.config.schema import Experiment
from offline_rl.progress import Progress, Silent
from offline_rl.report import Report
from offline_rl.report.trackers import log_comparison
from offline_rl.results.compare_run import compare_run
from offline_rl.settings.data import DataSettings
from offline_rl.stages.budget import budget_step
from offline_rl.stages.context import Run
from offline_rl.stages.engines import engines_of
from offline_rl.stages.evaluate import base_jobs, evaluations_step, policy_jobs
from offline_rl.stages.filter import dataset_step
from offline_rl.stages.leakage_check import check_apart, check_apart_from, overlap_step
from offline_rl.stages.logprob_check import behaviour_step
from offline_rl.stages.policies import Policy
from offline_rl.stages.run_sweep import sweep_step
from offline_rl.stages.sample import rollouts_folder, rollouts_step
from offline_rl.stages.session import at_work, store_of
from offline_rl.stages.train_policies import policies_step
from offline_rl.stages.trainability_check import best_policies, check_learnable

Step = Literal["train", "evaluate", "report"]
S = TypeVar("S", bound=DataSettings)


def generate(
    settings: DataSettings, folder: str | Path, *, progress: Progress | None = None
) -> Path:
    """Makes the data set of an experiment, or of settings for one alone, and returns its folder.

    Samples and verifies rollouts (or imports them) and filters them. Resumes, locks and raises as
    `run` does.
    """
    with _at_work(settings, Path(folder), progress) as work:
        _write_settings(work)
        stage = _data(work)
    return stage.folder


def run(
    experiment: Experiment,
    folder: str | Path,
    *,
    until: Step = "report",
    progress: Progress | None = None,
    retry_failed: bool = False,
) -> Report | None:
    """Does the steps up to `until` in a run folder and returns the report if that is the last.

    A killed run goes on where it was. One process at a time works in a folder: a second one gets a
    DataError that names the first. Methods that failed are in `Report.failures`; with
    `retry_failed` they are tried again.
    Raises DataError for input that cannot be used, EngineError for an engine that does not start.
    """
    folder = Path(folder)
    with _at_work(experiment, folder, progress) as work:
        for source in experiment.evaluation.benchmarks.values():
            work.load(source)  # A missing benchmark is an error before hours of sampling.
        check_apart(work)
        _write_settings(work)
        work.expect(*(job.stage for job in base_jobs(work)))
        dataset = _data(work)
        check_apart_from(work, dataset)
        # Neither needs a model; what rules out training is an error before the base is sampled.
        work = replace(work, settings=budget_step(work, dataset))
        check_learnable(work, dataset, retry_failed=retry_failed)
        overlap_step(work, dataset)
        _expect_results(work, dataset)
        with _evaluating(work) as work:
            if until != "train":
                evaluations_step(work, base_jobs(work))
            # Sampling and training do not share a GPU's memory.
            work.engines.close()
            behaviour_step(work, dataset)
            chosen = sweep_step(work, dataset, retry_failed=retry_failed)
            work = replace(work, settings=chosen)
            _expect_results(work, dataset)
            policies = policies_step(
                work,
                dataset,
                retry_failed=retry_failed,
                awaited=lambda one: not all(work.finished(j.stage) for j in policy_jobs(work, one)),
            )
            if until == "train":
                return None
            jobs = [job for policy in policies for job in policy_jobs(work, policy)]
            evaluations_step(work, jobs)
        _write_environment(folder)
        _drop_weights(experiment, policies)
        if until == "evaluate":
            return None
        report = compare_run(experiment, folder)
        if experiment.training.report_to:
            tracked = folder / REPORT / "trackers"
            log_comparison(report, experiment.training.report_to, tracked, work.progress)
        return report


@contextmanager
def _at_work(settings: S, folder: Path, progress: Progress | None) -> Iterator[Run[S]]:
    """As `at_work`; with its end the run is stored."""
    store, known_as = store_of(settings), settings_digest(settings)
    with at_work(
        settings, folder, progress or Silent(), store=store, settings_sha256=known_as
    ) as work:
        work.recall_expected()
        yield work
        if store is not None:
            put_snapshot(store, folder)
            work.progress.say(f"stored at {store.objects.address}")


@contextmanager
def _evaluating(work: Run[Experiment]) -> Iterator[Run[Experiment]]:
    """The run with the engines that evaluate, which may be others than those that sampled."""
    settings = work.settings
    if settings.evaluation_sampler == settings.sampler:
        yield work
        return
    work.engines.close()
    with engines_of(settings, settings.evaluation_sampler, work.progress) as engines:
        yield replace(work, engines=engines)


def _write_settings(work: Run[DataSettings]) -> None:
    write_atomically(work.folder / SETTINGS, dump_settings(work.settings))


def _data(work: Run[DataSettings]) -> Stage:
    rollouts = rollouts_step(work)
    _write_environment(work.folder)
    return dataset_step(work, rollouts)


def _expect_results(work: Run[Experiment], dataset: Stage) -> None:
    """Records which results are this run's, so that a report before its end shows those there are.

    Evaluations follow from a policy's weights, and are known where these are.
    """
    work.expect(*(job.stage for job in base_jobs(work)))
    for policy in best_policies(work, dataset):
        work.expect(policy.stage)
        if policy.stage.finished():
            work.expect(*(job.stage for job in policy_jobs(work, policy)))


def _drop_weights(experiment: Experiment, policies: list[Policy]) -> None:
    kept = {"all": experiment.seeds, "last": experiment.seeds[-1:], "none": ()}[experiment.keep]
    for policy in policies:
        if policy.training_seed not in kept:
            policy.stage.published.drop("*.safetensors")


def _write_environment(folder: Path) -> None:
    """Versions, hardware, and the engines that the finished stages were sampled with."""
    evaluations = sorted(folder.glob(f"evaluations/*/*/*/{EvaluationInfo.FILE}"))
    sampled = [_engine(path.parent, EvaluationInfo) for path in evaluations]
    engines = [one for one in (*sampled, _engine(rollouts_folder(folder), RolloutsAbout)) if one]
    distinct = [engine for i, engine in enumerate(engines) if engine not in engines[:i]]
    describe_environment(distinct).write(folder)


def _engine(stage: Path, kind: type[EvaluationInfo | RolloutsAbout]) -> dict[str, str] | None:
    """What sampled a stage; None for one that is damaged, which its own step does again."""
    try:
        return PublishedStage(stage).read(kind).engine
    except DamagedArtifact:
        return None
