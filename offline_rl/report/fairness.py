"""What each method was given to learn with, and where methods that are compared differ in it."""

import pandas as pd

BUDGETS = {
    "steps": "optimiser steps",
    "examples_seen": "examples seen",
    "trained_tokens_seen": "trained tokens seen",
}
_TOLERANCE = 1.05
# Columns of training.csv, none a clock reading, that comparison.csv repeats as `training_...`.
_REPEATED = ("examples", "steps", "epochs", "examples_seen", "trained_tokens_seen", "flops")


def spent(training: pd.DataFrame) -> pd.DataFrame:
    """By label, the means of `training`'s columns over the finished training seeds compared."""
    compared = training[(training["status"] == "finished") & (training["role"] == "compared")]
    columns = [*_REPEATED, "trials"]
    means = compared[["label", *columns]].astype(dict.fromkeys(columns, float))
    return means.groupby("label", sort=False).mean()


def with_budgets(comparison: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
    """`comparison` with what each method took to be trained; empty for the untrained base."""
    means = spent(training).rename(columns={"trained_tokens_seen": "tokens_seen"})
    return comparison.join(means.add_prefix("training_"), on="label")


def with_marks(pairwise: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
    """`pairwise` with the budgets in which the two sides differ by more than 5%, as text."""
    means = spent(training)
    marks = [
        " ".join(
            name
            for name in (*BUDGETS, "trials")
            if _differ([means[name].get(label), means[name].get(against)])
        )
        or None
        for label, against in zip(pairwise["label"], pairwise["against"], strict=True)
    ]
    return pairwise.assign(budgets_that_differ=pd.Series(marks, pairwise.index, dtype="str"))


def budget_flags(training: pd.DataFrame) -> dict[str, str]:
    """Budget column -> a sentence, where finished methods differ by more than 5% in it.

    Compared are the means over each method's training seeds.
    """
    means = spent(training)
    flags: dict[str, str] = {}
    for column, name in BUDGETS.items():
        by_label = {str(label): float(mean) for label, mean in means[column].items()}
        if not _differ(list(by_label.values())):
            continue
        low, high = min(by_label, key=by_label.__getitem__), max(by_label, key=by_label.__getitem__)
        flags[column] = (
            f"Budgets differ: {name} range from {by_label[low]:,.0f} ({low}) to"
            f" {by_label[high]:,.0f} ({high})."
        )
    return flags


def _differ(values: list[float | None]) -> bool:
    known = [value for value in values if value is not None]
    return len(known) > 1 and max(known) > _TOLERANCE * min(known)
