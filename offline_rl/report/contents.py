"""What a report is made of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from eval.evaluation import Evaluation
from offline_rl.report.columns import COLUMNS


@dataclass(frozen=True)
class Samples:
    """One policy on one benchmark, and the folder with the texts of its samples where it is kept.

    The folder holds rollouts as data_gen.store.rollouts writes them.
    """

    evaluation: Evaluation
    folder: Path | None = None

    def table(self) -> pd.DataFrame:
        """A row for every sample, with the columns of samples.csv.gz."""
        about = self.evaluation
        seeds = pd.Series([about.training_seed] * len(about.grid), about.grid.index, dtype="Int64")
        table = about.grid.assign(
            model=about.model, label=about.label, training_seed=seeds, benchmark=about.benchmark
        )
        return table[list(COLUMNS["samples.csv.gz"])]


@dataclass(frozen=True, repr=False)
class Report:
    """Everything the report's files and the terminal show.

    `comparison`, `pairwise`, `checks`, `seeds`, `pass_at_k` and `profile` are those of
    eval.compare; `training`, `curves` and `data` of training_table, curves_table and data_table.
    `samples` are all that was evaluated. `summaries` maps a base model to what was counted in its
    data set.
    `failures` maps what is missing ("dpo, seed 0") to the reason; `environment` holds versions,
    engine and hardware; `settings` is the experiment as YAML text and `command` makes it again;
    `absent` are labels that were to be compared and have no macro average on any base model;
    `baseline` is the label of the untouched base.
    """

    name: str
    comparison: pd.DataFrame
    pairwise: pd.DataFrame
    checks: pd.DataFrame
    seeds: pd.DataFrame
    pass_at_k: pd.DataFrame
    profile: pd.DataFrame
    training: pd.DataFrame
    curves: pd.DataFrame
    data: pd.DataFrame
    samples: tuple[Samples, ...]
    summaries: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]
    failures: Mapping[str, str]
    environment: Mapping[str, Any]
    settings: str
    command: str
    absent: tuple[str, ...] = ()
    baseline: str = "base"

    def grid(self) -> pd.DataFrame:
        """A row for every sample of every policy, with the columns of samples.csv.gz."""
        return pd.concat([one.table() for one in self.samples], ignore_index=True)

    def __repr__(self) -> str:
        policies = self.comparison[["model", "label"]].drop_duplicates()
        return f"<Report {self.name!r}: {len(policies)} policies, {len(self.samples)} evaluations>"


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """The table's rows as tuples with the columns' names."""
    return iter(table.itertuples(index=False))
