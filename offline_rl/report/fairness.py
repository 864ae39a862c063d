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
    """By model and label, means of `training` over the finished training seeds compared."""
    compared = training[(training["status"] == "finished") & (training["role"] == "compared")]
    columns = [*_REPEATED, "trials"]
    means = compared[["model", "label", *columns]].astype(dict.fromkeys(columns, float))
    return means.groupby(["model", "label"], sort=False).mean()


def with_budgets(comparison: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
    """`comparison` with what each method took to be trained; empty for what was not trained."""
    means = spent(training).rename(columns={"trained_tokens_seen": "tokens_seen"})
    return comparison.join(means.add_prefix("training_"), on=["model", "label"])


def with_marks(pairwise: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
    """`pairwise` with the budgets in which the two sides differ by more than 5%, as text."""
    means = spent(training)
    sides = zip(pairwise["model"], pairwise["label"], pairwise["against"], strict=True)
    marks = [
        " ".join(
            name
            for name in (*BUDGETS, "trials")
            if _differ([means[name].get((model, label)), means[name].get((model, against))])
        )
        or None
        for model, label, against in sides
    ]
    return pairwise.assign(budgets_that_differ=pd.Series(marks, pairwise.index, dtype="str"))


def budget_flags(training: pd.DataFrame) -> dict[str, str]:
    """Budget column -> a sentence, where methods of one model differ by more than 5% in it.

    Compared are the means over each method's finished training seeds. With several models the one
    that differs most is told.
    """
    flags: dict[str, tuple[float, str]] = {}
    for model, means in spent(training).groupby(level="model", sort=False):
        for column, name in BUDGETS.items():
            by_label = means[column].droplevel("model")
            taken = {str(label): float(mean) for label, mean in by_label.items()}
            if not _differ(list(taken.values())):
                continue
            low, high = min(taken, key=taken.__getitem__), max(taken, key=taken.__getitem__)
            of = f" of {model}" if training["model"].nunique() > 1 else ""
            sentence = (
                f"Budgets{of} differ: {name} range from {taken[low]:,.0f} ({low}) to"
                f" {taken[high]:,.0f} ({high})."
            )
            ratio = taken[high] / taken[low] if taken[low] else float("inf")
            if column not in flags or ratio > flags[column][0]:
                flags[column] = (ratio, sentence)
    return {column: sentence for column, (_, sentence) in flags.items()}


def kernel_notes(training: pd.DataFrame) -> list[str]:
    """A sentence for each model whose finished policies computed attention by several kernels."""
    compared = training[(training["status"] == "finished") & (training["role"] == "compared")]
    notes = []
    for model, rows in compared.groupby("model", sort=False):
        by_kernel = rows.groupby("attention", sort=False)["label"].unique()
        if len(by_kernel) > 1:
            of = f" of {model}" if training["model"].nunique() > 1 else ""
            kernels = "; ".join(f"{name}: {', '.join(who)}" for name, who in by_kernel.items())
            notes.append(f"Attention{of} was computed by kernels that round otherwise ({kernels}).")
    return notes


def _differ(values: list[float | None]) -> bool:
    known = [value for value in values if value is not None]
    return len(known) > 1 and max(known) > _TOLERANCE * min(known)
