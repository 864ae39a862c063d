"""The evaluations of one policy in a run folder: which can be used, and which cannot."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.evaluation import load_evaluation
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.report import Samples
from offline_rl.stages.evaluate import Evaluating, evaluation_folder, sampling_setups

StageAt = Callable[[Path], PublishedStage]


@dataclass(frozen=True)
class ReadEvaluation:
    """One label on one benchmark. No samples where the stage is damaged, unfinished, or was made
    with other settings."""

    benchmark: str
    label: str
    stage: PublishedStage
    samples: Samples | None


def read_evaluations(
    settings: Evaluating,
    folder: Path,
    policy: str,
    seed: int | None,
    *,
    model: str,
    read: Mapping[str, Any],
    stage_at: StageAt,
) -> Iterator[ReadEvaluation]:
    """Each decoding of a policy on each benchmark.

    `read` are inputs of the stage besides settings; `model` is the base model's name in the tables.
    """
    for benchmark in settings.evaluation.benchmarks:
        for label, setup in sampling_setups(settings, policy, benchmark).items():
            stage = stage_at(evaluation_folder(folder, label, seed, benchmark))
            samples = None
            if stage.damage() is None and stage.was_made_with({**setup.settings(), **read}):
                evaluation = load_evaluation(
                    stage.folder,
                    model=model,
                    label=label,
                    training_seed=seed,
                    benchmark=benchmark,
                    temperature=setup.sampling.temperature,
                    top_p=setup.sampling.top_p,
                )
                samples = Samples(evaluation, stage.folder)
            yield ReadEvaluation(benchmark, label, stage, samples)
