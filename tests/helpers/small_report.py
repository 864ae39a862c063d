"""Small findings for the tests of reports, without a model."""

from dataclasses import replace

import numpy as np
import pandas as pd

from eval import Evaluation
from offline_rl.report import Samples, curves_table, data_table, training_table
from offline_rl.report.contents import RunResults
from tests.helpers.policies import failed
from tests.helpers.summaries import dataset_summary

NAMES = (
    *("problem_id", "sample", "seed", "verdict", "reason"),
    *("answer", "reward", "tokens", "truncated", "nll"),
)


def evaluation(label, training_seed, benchmark="easy", *, model="m", chance=0.5, problems=8):
    key = [len(label), training_seed or 0, len(benchmark), problems]
    right = np.random.default_rng([*key, round(100 * chance)]).random((problems, 4)) < chance
    rows = [
        (f"p{i}", j, j, "correct" if right[i, j] else "wrong", "", "7", 1.0, 9, False, 0.5)
        for i in range(problems)
        for j in range(4)
    ]
    grid = pd.DataFrame(rows, columns=list(NAMES))
    return Evaluation(label, training_seed, benchmark, 1.0, grid, model=model)


def findings(*evaluations, weights="w", settings="sampling: {samples: 4}\n", **changes):
    model = evaluations[0].model
    training = [
        failed(one.label, one.training_seed, "none was trained")
        for one in evaluations
        if one.training_seed is not None and one.benchmark == evaluations[0].benchmark
    ]
    return replace(
        RunResults(
            name="run",
            samples=tuple(Samples(one) for one in evaluations),
            labels=tuple(dict.fromkeys(one.label for one in evaluations)),
            benchmarks=tuple(dict.fromkeys(one.benchmark for one in evaluations)),
            baseline="base",
            reference="rft",
            training=training_table(training, model=model),
            curves=curves_table([], model=model),
            data=data_table({"sampled": {"rollouts": 4}}, model=model),
            summaries={model: dataset_summary(sampled={"rollouts": 4})},
            bases={model: weights},
            hashes={"dataset_sha256": "d"},
            notes=(),
            failures={},
            environment={"packages": {"torch": "1"}},
            settings=settings,
            command="offline-rl run x",
        ),
        **changes,
    )


def run(*labels, benchmarks=("easy", "hard"), seeds=(0, 1), chance=0.5, **changes):
    of_base = [evaluation("base", None, name) for name in benchmarks]
    trained = [
        evaluation(label, seed, name, chance=chance)
        for label in labels
        for seed in seeds
        for name in benchmarks
    ]
    return findings(*of_base, *trained, **changes)
