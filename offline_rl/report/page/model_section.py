"""What the page shows of one base model: its rows, figures and what its methods were given."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from eval.model_table import MACRO
from offline_rl.report.contents import Report, rows_of
from offline_rl.report.fairness import BUDGETS
from offline_rl.report.figures import lines, rows, sharpening
from offline_rl.report.figures.drawing import Picture
from offline_rl.report.figures.palette import Look
from offline_rl.report.figures.plot_data import funnel, pass_rates

MOST_PAIRS = 300
"""Rows of a table of pairs in the page."""
_BUDGET_COLUMNS = (
    *BUDGETS,
    "lr",
    "examples_per_step",
    "seconds",
    "peak_memory_gib",
    "final_accepted_nll_nats",
    "final_accepted_mean_p",
    "final_accepted_entropy_nats",
)


@dataclass(frozen=True)
class Family:
    """Pairs that are tested together: those shown, how many there are, and their figures."""

    name: str
    rows: list[Any]
    count: int
    pictures: list[Picture]


@dataclass(frozen=True)
class MethodBudget:
    """What a method was given and took: means of training.csv's columns over the finished of its
    training seeds."""

    label: str
    finished: int
    seeds: int
    trials: int
    means: Mapping[str, float]


@dataclass(frozen=True)
class ModelView:
    """`cells` maps (label, benchmark) to a row of the comparison, `checks` (label, against,
    benchmark, check) to a value; `pictures` a question to some."""

    name: str
    labels: list[str]
    benchmarks: list[str]
    cells: Mapping[tuple[str, str], Any]
    checks: Mapping[tuple[str, str, str, str], float]
    families: list[Family]
    budgets: list[MethodBudget]
    data: list[Any]
    pictures: Mapping[str, list[Picture]]


def model_view(report: Report, model: str, looks: Mapping[str, Look]) -> ModelView:
    """Everything of the report that is about this model."""
    comparison = _of(report.comparison, model)
    return ModelView(
        name=model,
        labels=list(comparison["label"].unique()),
        benchmarks=list(comparison["benchmark"].unique()),
        cells={(row.label, row.benchmark): row for row in rows_of(comparison)},
        checks={
            (row.label, row.against, row.benchmark, row.check): row.value
            for row in rows_of(_of(report.checks, model))
        },
        families=list(_families(_of(report.pairwise, model), looks)),
        budgets=list(_budgets(_of(report.training, model))),
        data=list(rows_of(_of(report.data, model))),
        pictures=_pictures(report, model, looks),
    )


def _of(table: pd.DataFrame, model: str) -> pd.DataFrame:
    return table[table["model"] == model]


def _pictures(report: Report, model: str, looks: Mapping[str, Look]) -> dict[str, list[Picture]]:
    comparison = _macro_first(_of(report.comparison, model))
    summary = report.results.summaries.get(model)
    return {
        "accuracy": rows.accuracy(comparison, _of(report.seeds, model), looks),
        "pass_at_k": lines.pass_at_k(_macro_first(_of(report.pass_at_k, model)), looks),
        "entropy": sharpening.entropy_and_accuracy(comparison, looks),
        "coverage": sharpening.accuracy_and_pass_at_k(comparison, looks),
        "profile": lines.profiles(_macro_first(_of(report.profile, model)), looks),
        "learning": lines.learning(_of(report.curves, model), looks),
        "lengths": rows.lengths(comparison, looks),
        "data": [*pass_rates(summary), *funnel(summary)] if summary is not None else [],
    }


def _families(pairs: pd.DataFrame, looks: Mapping[str, Look]) -> Iterator[Family]:
    """The primary first. Of the exploratory only the macro average is drawn."""
    for name in ("primary", "secondary", "exploratory"):
        found = pairs[pairs["family"] == name]
        if found.empty:
            continue
        drawn = found if name == "secondary" else found[found["benchmark"] == MACRO]
        pictures = [
            rows.forest(
                group, looks, title="macro average" if benchmark == MACRO else str(benchmark)
            )
            for benchmark, group in drawn.groupby("benchmark", sort=False)
        ]
        yield Family(name, list(rows_of(found.head(MOST_PAIRS))), len(found), pictures)


def _macro_first(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(
        "benchmark", key=lambda names: (names != MACRO).astype(int), kind="stable"
    )


def _budgets(training: pd.DataFrame) -> Iterator[MethodBudget]:
    compared = training[training["role"] == "compared"]
    for label, group in compared.groupby("label", sort=False):
        finished = group[group["status"] == "finished"]
        means = {name: finished[name].astype(float).mean() for name in _BUDGET_COLUMNS}
        trials = int(group["trials"].max())
        yield MethodBudget(str(label), len(finished), len(group), trials, means)
