"""A small report with something in every part of it, for the tests of reports, without a model."""

import io
from functools import cache

import numpy as np
import pandas as pd
from rich.console import Console

from eval import Evaluation
from offline_rl.report import (
    Samples,
    data_table,
    print_report,
)
from offline_rl.settings.training import Lora
from tests.helpers import policies
from tests.helpers.reports import report_on

TABLES = [
    "checks.csv",
    "comparison.csv",
    "data.csv",
    "learning_curves.csv",
    "pairwise.csv",
    "pass_at_k.csv",
    "performance_profile.csv",
    "seeds.csv",
    "training.csv",
]
DATA = {
    "sampled": {"rollouts": 8000, "accuracy": 0.1 + 0.2, "ids": ["a", "b"], "none": None},
    "filters": {"pass_rate": {"rollouts": 10}},
    "audit": None,
}


def evaluations(rename=lambda name: name):
    generator = np.random.default_rng(0)
    found = []
    labels = [("base", None), *((m, s) for m in ("dft", "dpo", "rft") for s in (0, 1))]
    for benchmark in ("easy", "hard"):
        for label, seed in labels:
            right = generator.random((10, 3)) < 0.6
            rows = [
                (f"p{i}", j, j, "correct" if right[i, j] else "wrong", "", "7", 1.0, 9, False, 0.5)
                for i in range(10)
                for j in range(3)
            ]
            names = "problem_id sample seed verdict reason answer reward tokens truncated nll"
            grid = pd.DataFrame(rows, columns=names.split())
            name = label if label in ("base", "rft") else rename(label)
            found.append(Evaluation(name, seed, rename(benchmark), 1.0, grid, model=rename("m")))
    return found


HISTORY = [
    {
        "step": 30,
        "loss": 0.4,
        "accepted_nll": 0.2,
        "accepted_mean_p": 0.8,
        "accepted_entropy": 0.3,
    },
    {
        "step": 60,
        "loss": 0.3,
        "accepted_nll": 0.1,
        "accepted_mean_p": 0.9,
        "accepted_entropy": 0.2,
    },
    {"train_loss": 0.35},
]


def trained(label, seed, *, tokens=1000, **changes):
    """As policies.trained, dpo with adapters and unpacked."""
    lora = Lora(rank=8) if label == "dpo" else None
    return policies.trained(
        label,
        seed,
        settings=changes.pop("settings", policies.SETTINGS.model_copy(update={"lora": lora})),
        method={"beta": 0.1},
        trained_tokens_seen=tokens,
        packed=label != "dpo",
        **{"history": HISTORY, **changes},
    )


RECORDS = [
    *(trained(label, seed) for label in ("rft", "dft") for seed in (0, 1)),
    trained("dpo", 0, tokens=2100),
    policies.failed("dpo", 1, "the loss is nan at step 3"),
]


def _as_it_is(name):
    return name


@cache
def make_report(rename=_as_it_is):
    return report_on(
        [Samples(one) for one in evaluations(rename)],
        records=RECORDS,
        models=(rename("m"),),
        data=data_table(DATA, model=rename("m")),
        name=rename("demo"),
        failures={rename("dpo, seed 1"): rename("the loss is nan at step 3")},
    )


def printed(report, width=100):
    lines = io.StringIO()
    print_report(report, Console(file=lines, width=width, force_terminal=False))
    return lines.getvalue()
