"""The evaluations of one policy in a run folder: which can be used, and which cannot."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eval.evaluation import load_evaluation
from offline_rl.artifacts.stage import Stage, holds
from offline_rl.report import Samples
from offline_rl.stages.evaluate import Evaluating, evaluation_folder, manners


def read_evaluations(
    settings: Evaluating,
    folder: Path,
    policy: str,
    seed: int | None,
    *,
    model: str,
    read: Mapping[str, Any],
) -> Iterator[tuple[str, str, Path, Samples | str | None]]:
    """Benchmark, label and folder of each decoding, with its samples.

    In place of samples: what is damaged, in words; None where none were made with these settings
    and with `read`, the stage's other inputs. `model` is the base model's name in the tables.
    """
    for benchmark in settings.evaluation.benchmarks:
        for label, manner in manners(settings, policy, benchmark).items():
            at = evaluation_folder(folder, label, seed, benchmark)
            result: Samples | str | None = Stage(at, {}).damage()
            if result is None and holds(at, {**manner.settings(), **read}):
                evaluation = load_evaluation(
                    at,
                    model=model,
                    label=label,
                    training_seed=seed,
                    benchmark=benchmark,
                    temperature=manner.sampling.temperature,
                    top_p=manner.sampling.top_p,
                )
                result = Samples(evaluation, at)
            yield benchmark, label, at, result
