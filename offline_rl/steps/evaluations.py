"""Every policy on every benchmark; the untrained base in several decodings."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_gen.types import DataError, Problem, Rollout, Sampling
from eval.benchmarks import Benchmark
from eval.evaluation import evaluate
from offline_rl.config import Experiment
from offline_rl.environment import SAMPLING_PACKAGES, versions
from offline_rl.stages import Stage, digest
from offline_rl.steps.context import ABOUT, Run, sampled_with
from offline_rl.steps.policies import Policy


@dataclass(frozen=True)
class Job:
    """One policy on one benchmark, on disk."""

    label: str
    training_seed: int | None
    model: str
    benchmark: str
    problems: tuple[Problem, ...]
    sampling: Sampling
    stage: Stage


def evaluation_folder(folder: Path, label: str, training_seed: int | None, benchmark: str) -> Path:
    """Where a run keeps the samples and verdicts of one policy on one benchmark."""
    which = "untrained" if training_seed is None else f"seed-{training_seed}"
    return folder / "evaluations" / label / which / benchmark


def evaluation_settings(experiment: Experiment, sampling: Sampling) -> dict[str, Any]:
    """The settings that an evaluation depends on, its policy and problems aside."""
    return {
        "prompt": experiment.prompt,
        "sampling": sampling.model_dump(mode="json"),
        "sampler": experiment.evaluation_sampler.result_settings,
        "verifier": experiment.verifier.description,
    }


def base_jobs(run: Run[Experiment]) -> list[Job]:
    """The untrained base in each of its decodings on each benchmark."""
    return [
        _on_benchmark(run, label, None, run.settings.model_path, run.base, benchmark, sampling)
        for label, sampling in run.settings.decodings().items()
        for benchmark in run.settings.evaluation.benchmarks
    ]


def policy_jobs(run: Run[Experiment], policy: Policy) -> list[Job]:
    """A trained policy on each benchmark; none for one whose training failed."""
    if policy.failure is not None:
        return []
    model, sampling = str(policy.stage.folder), run.settings.evaluation.sampling
    read = {"policy": policy.stage.digest()}
    return [
        _on_benchmark(run, policy.label, policy.training_seed, model, read, benchmark, sampling)
        for benchmark in run.settings.evaluation.benchmarks
    ]


def _on_benchmark(
    run: Run[Experiment],
    label: str,
    training_seed: int | None,
    model: str,
    model_read: dict[str, Any],
    benchmark: str,
    sampling: Sampling,
) -> Job:
    problems = run.problems(run.settings.evaluation.benchmarks[benchmark])
    folder = evaluation_folder(run.folder, label, training_seed, benchmark)
    inputs = evaluation_inputs(run, problems, sampling, model_read)
    stage = Stage(folder, inputs)
    return Job(label, training_seed, model, benchmark, problems, sampling, stage)


def evaluation_inputs(
    run: Run[Experiment],
    problems: Sequence[Problem],
    sampling: Sampling,
    model_read: dict[str, Any],
) -> dict[str, Any]:
    """All that the samples of a policy on some problems depend on."""
    return {
        "model": model_read,
        "problems": digest([[p.id, p.prompt, p.answer] for p in problems]),
        **evaluation_settings(run.settings, sampling),
        "versions": versions(SAMPLING_PACKAGES),
    }


def evaluations_step(run: Run[Experiment], jobs: Sequence[Job]) -> None:
    """Does the jobs that are not finished."""
    for job in jobs:
        if run.is_needed(job.stage):
            with job.stage.work() as folder:
                _evaluate(run, job, folder)


def _evaluate(run: Run[Experiment], job: Job, folder: Path) -> None:
    revision = run.settings.revision if job.training_seed is None else None
    sampler = run.engines.sampler(job.model, revision)
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
    with run.progress.task(f"evaluate {job.label}{seed} on {job.benchmark}") as task:

        def on_chunk(rollouts: list[Rollout]) -> None:
            nonlocal done, right
            done += len(rollouts)
            right += sum(rollout.verdict.label == "correct" for rollout in rollouts)
            total = len(fitting) * job.sampling.samples
            task.update(done, total, f"{right / done:.1%} correct")

        benchmark = Benchmark(job.benchmark, tuple(fitting), run.verify, job.sampling)
        evaluate(
            job.label,
            sampler,
            benchmark,
            training_seed=job.training_seed,
            folder=folder,
            on_chunk=on_chunk,
        )
    about = {
        "engine": run.engines.description,
        "verifier": run.settings.verifier.description,
        "left_out_too_long": [problem.id for problem in too_long],
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
