"""The report as one self-contained page."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from offline_rl.report.columns import meaning
from offline_rl.report.contents import Report, rows_of
from offline_rl.report.fairness import BUDGETS, budget_flags
from offline_rl.report.plot import panels
from offline_rl.report.text import (
    exact,
    half_width,
    in_words,
    number,
    one_line,
    p_value,
    plain,
    signed,
)

_HERE = Path(__file__).parent
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


def render(report: Report) -> str:
    """HTML with styles and pictures inside, no scripts; every value is escaped and made inert."""
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    tables = {
        "comparison.csv": report.comparison,
        "pairwise.csv": report.pairwise,
        "training.csv": report.training,
        "data.csv": report.data,
    }
    return (
        _templates()
        .get_template("page.html.jinja")
        .render(
            report=report,
            style=Markup(style),
            style_digest=digest,
            panels=panels(report.comparison),
            cells={(row.label, row.benchmark): row for row in rows_of(report.comparison)},
            passes=[name for name in report.comparison.columns if name.startswith("pass_at_")],
            flags=budget_flags(report.training),
            budgets=_budgets(report.training),
            environment=list(_flat(report.environment)),
            columns={
                name: [(column, meaning(name, column)) for column in table.columns]
                for name, table in tables.items()
            },
        )
    )


def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_inert,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "signed": signed,
        "p_value": p_value,
        "half_width": half_width,
        "in_words": in_words,
        "one_line": one_line,
        "exact": exact,
    }
    return environment


def _inert(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _budgets(training: pd.DataFrame) -> list[dict[str, Any]]:
    """A row per method: what it was given and took, averaged over finished training seeds."""
    rows = []
    compared = training[training["role"] == "compared"]
    for label, group in compared.groupby("label", sort=False):
        finished = group[group["status"] == "finished"]
        means = {name: finished[name].astype(float).mean() for name in _BUDGET_COLUMNS}
        rows.append({"label": label, "finished": len(finished), "seeds": len(group), **means})
    return rows


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            listed = isinstance(value, list | tuple)
            yield f"{prefix}{name}", ", ".join(map(str, value)) if listed else str(value)
