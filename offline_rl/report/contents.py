"""What a report is made of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import JsonValue

from eval.comparison import Comparison
from eval.evaluation import Evaluation
from eval.model_table import MACRO
from eval.notes import Note
from offline_rl.artifacts.records import DatasetSummary
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


@dataclass(frozen=True)
class RunResults:
    """What one run has found, or several, before anything is compared.

    `labels` and `benchmarks` give the order of rows. Policies are compared with `baseline` and
    `reference`; `among_untrained` compares untrained ones with each other too. `training`, `curves`
    and `data` are those of training_table, curves_table and data_table. `summaries` maps a base
    model to what was counted in its data set, `bases` to the hash of its weights; `hashes` are of
    what all its policies had in common. `failures` maps what is missing ("dpo, seed 0") to the
    reason; `environment` holds versions, engine and hardware; `settings` is the experiment as YAML
    text, and `command` runs it again.
    """

    name: str
    samples: tuple[Samples, ...]
    labels: tuple[str, ...]
    benchmarks: tuple[str, ...]
    baseline: str
    reference: str
    training: pd.DataFrame
    curves: pd.DataFrame
    data: pd.DataFrame
    summaries: Mapping[str, DatasetSummary]
    bases: Mapping[str, str]
    hashes: Mapping[str, str | None]
    notes: tuple[Note, ...]
    failures: Mapping[str, str]
    environment: dict[str, JsonValue]
    settings: str
    command: str
    among_untrained: bool = False


@dataclass(frozen=True, repr=False)
class Report:
    """What a run has found, and the comparison of it; `notes` are on both, in order of importance.

    The tables, one for each CSV file, can be had here as well as from their parts.
    """

    results: RunResults
    compared: Comparison
    notes: tuple[Note, ...]

    @property
    def comparison(self) -> pd.DataFrame:
        return self.compared.comparison

    @property
    def pairwise(self) -> pd.DataFrame:
        return self.compared.pairwise

    @property
    def checks(self) -> pd.DataFrame:
        return self.compared.checks

    @property
    def seeds(self) -> pd.DataFrame:
        return self.compared.seeds

    @property
    def pass_at_k(self) -> pd.DataFrame:
        return self.compared.pass_at_k

    @property
    def profile(self) -> pd.DataFrame:
        return self.compared.profile

    @property
    def training(self) -> pd.DataFrame:
        return self.results.training

    @property
    def curves(self) -> pd.DataFrame:
        return self.results.curves

    @property
    def data(self) -> pd.DataFrame:
        return self.results.data

    @property
    def failures(self) -> Mapping[str, str]:
        return self.results.failures

    @property
    def absent(self) -> tuple[str, ...]:
        """Labels that were to be compared and have no macro average on any base model."""
        whole = self.comparison[self.comparison["benchmark"] == MACRO]
        # Where no policy has an average yet, none is missing from it.
        present = set((whole if len(whole) else self.comparison)["label"])
        return tuple(label for label in self.results.labels if label not in present)

    def grid(self) -> pd.DataFrame:
        """A row for every sample of every policy, with the columns of samples.csv.gz."""
        return pd.concat([one.table() for one in self.results.samples], ignore_index=True)

    def __repr__(self) -> str:
        name, count = self.results.name, len(self.results.samples)
        policies = self.comparison[["model", "label"]].drop_duplicates()
        return f"<Report {name!r}: {len(policies)} policies, {count} evaluations>"


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """The table's rows as tuples with the columns' names."""
    return iter(table.itertuples(index=False))
