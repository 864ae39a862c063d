"""Tables whose columns are the fields of a row's type, each annotated with what it means."""

from collections.abc import Iterable, Mapping
from typing import Annotated, get_type_hints

import pandas as pd

BenchmarkName = Annotated[
    str, "set of held-out problems; macro is the unweighted mean over all of them"
]


def meanings(row: type) -> Mapping[str, str]:
    """What each column means, in their order."""
    hints = get_type_hints(row, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


def table_of(rows: Iterable[object], row: type) -> pd.DataFrame:
    """A table of the columns of `row`, whatever else the rows hold."""
    return pd.DataFrame(list(rows), columns=list(meanings(row)))
