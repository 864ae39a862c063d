"""Evaluations drawn by chance for the tests of comparisons, without a model."""

from functools import cache

import numpy as np
import pandas as pd

from eval import Evaluation, compare
from eval.evaluation import GRID_COLUMNS

TABLES = ("comparison", "pairwise", "checks", "seeds", "pass_at_k", "profile")
KEYS = [
    "model",
    "label",
    "against",
    "training_seed",
    "benchmark",
    "k",
    "threshold_percent",
    "check",
]


def evaluation(
    label, seed, benchmark, chance, *, problems=12, samples=4, temperature=1.0, model=""
):
    generator = np.random.default_rng([len(label), 0 if seed is None else seed + 1, len(benchmark)])
    rows = []
    for i in range(problems):
        for j in range(samples):
            right = generator.random() < chance * (0.5 + i / problems)
            answer = "7" if right else str(generator.integers(3))
            verdict = ("correct", "") if right else ("wrong", "different")
            length, nll = int(generator.integers(5, 50)), float(generator.random())
            rows.append((f"p{i}", j, i + j, *verdict, answer, float(right), length, False, nll))
    grid = pd.DataFrame(rows, columns=GRID_COLUMNS)
    return Evaluation(label, seed, benchmark, temperature, grid, model)


def evaluations(model="", labels=(("rft", 0.5), ("dft", 0.7))):
    found = []
    for benchmark in ("easy", "hard"):
        found += [
            evaluation("base", None, benchmark, 0.4, model=model),
            evaluation(
                "base greedy", None, benchmark, 0.5, samples=1, temperature=0.0, model=model
            ),
        ]
        for label, chance in labels:
            found += [evaluation(label, s, benchmark, chance, model=model) for s in (0, 1, 2)]
    return found


@cache
def standard():
    return compare(evaluations())


def row(table, **where):
    found = table[np.logical_and.reduce([table[name] == value for name, value in where.items()])]
    assert len(found) == 1
    return found.iloc[0]


def checks_of(compared, **where):
    """The checks of one row of the comparison or of the pairs, by name."""
    table = compared.checks
    found = table[np.logical_and.reduce([table[name] == value for name, value in where.items()])]
    assert found["check"].is_unique
    return found.set_index("check")["value"]


def table_of(found, label, benchmark):
    grids = [e.grid for e in found if (e.label, e.benchmark) == (label, benchmark)]
    correct = [g.assign(right=g["verdict"] == "correct") for g in grids]
    return np.array([g.groupby("problem_id")["right"].mean() for g in correct])
