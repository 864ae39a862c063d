"""Every policy on every benchmark; the untrained base in several decodings."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from data_gen.collection import collected_chunks
from data_gen.model_ref import ModelRef
from data_gen.samplers import SamplerSettings
from data_gen.types import DataError, Problem, Sampling, Verifier
from data_gen.verifiers import VerifierSettings
from eval.evaluation import Evaluation, load_evaluation
from offline_rl.artifacts.checksums import problems_digest
from offline_rl.artifacts.provenance import SAMPLING_PACKAGES, Fingerprint, versions
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.artifacts.records import EvaluationInfo, LabelInputs
from offline_rl.artifacts.stage import Stage
from offline_rl.config.checkpoint_evaluation import CheckpointEvaluation
from offline_rl.config.schema import Experiment
from offline_rl.settings.data import ModelSettings
from offline_rl.settings.evaluation import BASE
from offline_rl.stages.context import Run, sampled_with
from offline_rl.stages.engines import opened
from offline_rl.stages.policies import Policy


@dataclass(frozen=True)
class SamplingSetup:
    """How a policy is asked on a benchmark, and who judges it."""

    prompt: str
    sampling: Sampling
    verifier: VerifierSettings
    sampler: SamplerSettings


class EvaluationInputs(LabelInputs):
    """All that the samples of a policy on some problems depend on."""

    problems: str


@dataclass(frozen=True)
class Job:
    """One policy on one benchmark, on disk. `doubt` speaks against its problems."""

    label: str
    training_seed: int | None
    model: ModelRef
    benchmark: str
    problems: tuple[Problem, ...]
    setup: SamplingSetup
    stage: Stage
    doubt: str | None = None


def evaluation_folder(folder: Path, label: str, training_seed: int | None, benchmark: str) -> Path:
    """Where a run keeps the samples and verdicts of one policy on one benchmark."""
    which = "untrained" if training_seed is None else f"seed-{training_seed}"
    return folder / "evaluations" / label / which / benchmark


Evaluating = Experiment | CheckpointEvaluation
"""Settings with an evaluation in them."""


def sampling_setups(settings: Evaluating, policy: str, benchmark: str) -> dict[str, SamplingSetup]:
    """How a policy is asked on a benchmark, by label; a label for each of its decodings."""
    own = settings.evaluation.benchmarks[benchmark]
    return {
        label: SamplingSetup(
            prompt=own.prompt or settings.prompt,
            sampling=sampling,
            verifier=own.verifier or settings.verifier,
            sampler=settings.evaluation.sampler or settings.sampler,
        )
        for label, sampling in settings.evaluation.decoded(policy, benchmark).items()
    }


def base_jobs(run: Run[Experiment]) -> list[Job]:
    """The untrained base in each of its decodings on each benchmark."""
    return evaluation_jobs(run, BASE, None, run.settings.base_model, run.base)


def policy_jobs(run: Run[Experiment], policy: Policy) -> list[Job]:
    """A trained policy on each benchmark; none for one whose training failed."""
    if policy.failure is not None:
        return []
    model = run.settings.trained_model(policy.stage.folder)
    read: Fingerprint = {"policy": policy.stage.published.digest()}
    return evaluation_jobs(run, policy.label, policy.training_seed, model, read)


def evaluation_jobs(
    run: Run[Evaluating],
    policy: str,
    training_seed: int | None,
    model: ModelRef,
    model_read: Fingerprint,
) -> list[Job]:
    """A policy in each of its decodings on each benchmark; `model_read` identifies its weights."""
    jobs = []
    for name, source in run.settings.evaluation.benchmarks.items():
        problems = run.problems(source)
        for label, setup in sampling_setups(run.settings, policy, name).items():
            folder = evaluation_folder(run.folder, label, training_seed, name)
            stage = Stage(folder, evaluation_inputs(problems, setup, model_read))
            doubt = source.doubt(problems)
            jobs.append(Job(label, training_seed, model, name, problems, setup, stage, doubt))
    return jobs


def evaluation_inputs(
    problems: Sequence[Problem], setup: SamplingSetup, model_read: Fingerprint
) -> EvaluationInputs:
    """The inputs of the stage that evaluates a policy; `model_read` identifies its weights."""
    return {
        "model": model_read,
        "problems": problems_digest(problems, solutions=False),
        "prompt": setup.prompt,
        "sampling": setup.sampling.model_dump(mode="json"),
        "sampler": setup.sampler.result_settings,
        "verifier": setup.verifier.description,
        "versions": versions(SAMPLING_PACKAGES),
    }


def read_evaluation(stage: PublishedStage, *, model: str = "") -> Evaluation:
    """The samples of a finished evaluation; `model` is the base model's name in the tables."""
    info = stage.read(EvaluationInfo)
    return load_evaluation(
        stage.folder,
        model=model,
        label=info.label,
        training_seed=info.training_seed,
        benchmark=info.benchmark,
        temperature=info.sampling.temperature,
        top_p=info.sampling.top_p,
    )


def evaluations_step(run: Run[ModelSettings], jobs: Sequence[Job]) -> None:
    """Does the jobs that are not finished."""
    with ExitStack() as stack:
        verifiers: dict[VerifierSettings, Verifier] = {run.settings.verifier: run.verify}
        for job in jobs:
            if not run.is_needed(job.stage):
                continue
            settings = job.setup.verifier
            if settings not in verifiers:
                verifiers[settings] = stack.enter_context(opened(settings, run.settings.cluster))
            with run.work(job.stage) as folder:
                _evaluate(run, job, verifiers[settings], folder)


def _evaluate(run: Run[ModelSettings], job: Job, verify: Verifier, folder: Path) -> None:
    sampler = run.engines.sampler(job.model, prompt=job.setup.prompt)
    fitting, too_long = sampler.fitting(job.problems)
    if not fitting:
        raise DataError(
            f"{job.benchmark}: every prompt is longer than the model's"
            " context: take another benchmark or model"
        )
    seed = "" if job.training_seed is None else f", seed {job.training_seed}"
    sampled_with(run.engines.description, folder)
    if too_long:
        run.progress.say(f"{len(too_long)} prompts of {job.benchmark} exceed the context, left out")
    done, right = 0, 0
    with run.progress.task(f"evaluate {job.label}{seed} on {job.benchmark}", "samples") as task:
        for rollouts in collected_chunks(
            fitting, sampler, verify, job.setup.sampling, folder=folder
        ):
            done += len(rollouts)
            right += sum(rollout.verdict.label == "correct" for rollout in rollouts)
            total = len(fitting) * job.setup.sampling.samples
            task.update(done, total, f"{right / done:.1%} correct")
    info = EvaluationInfo(
        label=job.label,
        training_seed=job.training_seed,
        benchmark=job.benchmark,
        sampling=job.setup.sampling,
        engine=run.engines.description,
        verifier=job.setup.verifier.description,
        left_out_too_long=[problem.id for problem in too_long],
        doubt=job.doubt,
    )
    info.write(folder)
