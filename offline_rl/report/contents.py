"""What a report is made of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Report:
    """Everything the report's files and the terminal show.

    `comparison` and `pairwise` are those of eval.compare, `training` and `data` of training_table
    and data_table. `failures` maps what is missing ("dpo, seed 0") to the reason; `environment`
    holds versions, engine and hardware; `settings` is the experiment as YAML text.
    """

    name: str
    comparison: pd.DataFrame
    pairwise: pd.DataFrame
    training: pd.DataFrame
    data: pd.DataFrame
    notes: tuple[str, ...]
    failures: Mapping[str, str]
    environment: Mapping[str, Any]
    settings: str


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """The table's rows as tuples with the columns' names."""
    return iter(table.itertuples(index=False))
