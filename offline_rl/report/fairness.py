"""What each method was given to learn with, and where methods that are compared differ in it."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from eval.notes import Note

BUDGETS = {
    "steps": "optimiser steps",
    "examples_seen": "examples seen",
    "trained_tokens_seen": "trained tokens seen",
}
_OPTIMISATION = {
    "lr": "learning rate",
    "examples_per_step": "examples a step",
    "scheduler": "schedule",
    "warmup": "warm-up",
    "weight_decay": "weight decay",
    "betas": "betas",
    "max_grad_norm": "gradient norm",
    "optimizer": "optimiser",
    "max_tokens": "max_tokens",
    "precision": "precision",
    "lora_rank": "LoRA rank",
}
_TOLERANCE = 1.05
_MUCH_LEFT_OUT = 0.05
# Columns of training.csv, none a clock reading, that comparison.csv repeats as `training_...`.
_REPEATED = ("examples", "steps", "epochs", "examples_seen", "trained_tokens_seen", "flops")


def spent(training: pd.DataFrame) -> pd.DataFrame:
    """By model and label, means of `training` over the finished training seeds compared."""
    compared = _compared(training)
    columns = [*_REPEATED, "trials"]
    means = compared[["model", "label", *columns]].astype(dict.fromkeys(columns, float))
    return means.groupby(["model", "label"], sort=False).mean()


def with_training_costs(comparison: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
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
    that differs most is named.
    """
    flags: dict[str, tuple[float, str]] = {}
    for model, means in spent(training).groupby(level="model", sort=False):
        for column, name in BUDGETS.items():
            by_label = means[column].droplevel("model")
            taken = {str(label): float(mean) for label, mean in by_label.items()}
            if not _differ(list(taken.values())):
                continue
            low, high = min(taken, key=taken.__getitem__), max(taken, key=taken.__getitem__)
            of = _of(model, training)
            sentence = (
                f"Budgets{of} differ: {name} range from {taken[low]:,.0f} ({low}) to"
                f" {taken[high]:,.0f} ({high})."
            )
            ratio = taken[high] / taken[low] if taken[low] else float("inf")
            if column not in flags or ratio > flags[column][0]:
                flags[column] = (ratio, sentence)
    return {column: sentence for column, (_, sentence) in flags.items()}


def kernel_notes(training: pd.DataFrame) -> list[Note]:
    """A sentence for each model whose finished policies computed attention by several kernels."""
    notes = []
    for model, rows in _compared(training).groupby("model", sort=False):
        by_kernel = rows.groupby("attention", sort=False)["label"].unique()
        if len(by_kernel) > 1:
            of = _of(model, training)
            kernels = "; ".join(f"{name}: {', '.join(who)}" for name, who in by_kernel.items())
            text = f"Attention{of} was computed by kernels that round otherwise ({kernels})."
            notes.append(Note("fairness", text))
    return notes


def left_out_notes(training: pd.DataFrame) -> list[Note]:
    """A sentence for each model where methods left out over 5% of their examples as too long."""
    notes = []
    for model, rows in _compared(training).groupby("model", sort=False):
        found = rows.astype({"examples": float, "examples_too_long": float})
        share = found["examples_too_long"] / (found["examples"] + found["examples_too_long"])
        by_label = share.groupby(found["label"], sort=False).mean()
        much = by_label[by_label > _MUCH_LEFT_OUT]
        if len(much):
            listed = ", ".join(f"{label} {100 * value:.0f}%" for label, value in much.items())
            notes.append(
                Note(
                    "fairness",
                    f"Longer than training.max_tokens, and not learnt from{_of(model, training)}:"
                    f" {listed} of what was found for it. What is left is shorter than what was"
                    " accepted.",
                )
            )
    return notes


def setting_notes(training: pd.DataFrame) -> list[Note]:
    """A sentence for each model whose methods were trained with other optimisation settings."""
    notes = []
    for model, rows in _compared(training).groupby("model", sort=False):
        listed = [
            f"{name} {', '.join(_by_value(rows, column))}"
            for column, name in _OPTIMISATION.items()
            if rows[column].nunique(dropna=False) > 1
        ]
        if listed:
            notes.append(
                Note(
                    "fairness",
                    f"Trained with settings of their own{_of(model, training)}, as their papers"
                    f" have them or the settings say: {'; '.join(listed)}.",
                )
            )
    return notes


def _by_value(rows: pd.DataFrame, column: str) -> Iterator[str]:
    groups: Any = rows.groupby(column, sort=False, dropna=False)["label"].unique().items()
    for value, labels in groups:
        shown = "none" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else value
        yield f"{shown} ({', '.join(labels)})"


def _compared(training: pd.DataFrame) -> pd.DataFrame:
    return training[(training["status"] == "finished") & (training["role"] == "compared")]


def _of(model: Any, training: pd.DataFrame) -> str:
    return f" of {model}" if training["model"].nunique() > 1 else ""


def _differ(values: list[float | None]) -> bool:
    known = [value for value in values if value is not None]
    return len(known) > 1 and max(known) > _TOLERANCE * min(known)
