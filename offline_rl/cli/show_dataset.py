"""The counts of a data set in a terminal."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_gen.cards.dataset_card import summarise
from data_gen.store.rollouts import iterate_rollouts
from data_gen.types import DataError
from offline_rl.artifacts.layout import SUMMARY
from offline_rl.report.text import MISSING, one_line
from offline_rl.report.text import exact as exactly

_BAR_COLUMNS = 40
_TOLD_ABOVE = (
    *("rollouts", "problems", "correct", "wrong", "unverifiable", "truncated"),
    *("accepted", "accepted_distinct", "mean_tokens", "max_tokens"),
)


def print_overview(path: Path, console: Console, *, untrusted: bool = False) -> None:
    """Counts and lengths, the pass rates of the problems, and what each filter left.

    `path` is a folder of parts or a file. Its summary.json is taken where there is one, else the
    rollouts are counted, of which nothing is taken at its word where they are `untrusted`. Fits 80
    columns.
    """
    summary = _summary(path, untrusted)
    counts = summary.get("dataset", summary)
    console.print(Text(one_line(str(path), 1000), style="bold"), soft_wrap=True)
    for line in _headline(counts):
        console.print(Text(line))
    for title, table in _tables(summary, counts):
        console.print(Text(f"\n{title}", style="italic"))
        console.print(table)


def _summary(path: Path, untrusted: bool) -> dict[str, Any]:
    beside = path / SUMMARY
    if not beside.is_file():
        return summarise(iterate_rollouts(path, untrusted=untrusted))
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{beside}: not JSON ({error})") from error
    if not isinstance(found, dict) or not _counts_something(found):
        raise DataError(f"{beside}: not the counts of a data set")
    return found


def _counts_something(summary: Mapping[str, Any]) -> bool:
    """Whether what is reckoned with here has its type."""
    counts, filters = summary.get("dataset", summary), summary.get("filters", {})
    if not isinstance(counts, Mapping) or not isinstance(filters, Mapping):
        return False
    rates = counts.get("problems_by_pass_rate", {})
    numbers = [counts.get("rollouts"), counts.get("correct")]
    numbers += rates.values() if isinstance(rates, Mapping) else [None]
    return all(isinstance(left, Mapping) for left in filters.values()) and all(
        type(number) is int and 0 <= number < 2**63 for number in numbers
    )


def exact(value: Any) -> str:
    """As in the report; a dash where a list or a mapping stands for a number."""
    return MISSING if isinstance(value, list | Mapping) else exactly(value)


def _headline(counts: Mapping[str, Any]) -> Iterator[str]:
    def shown(name: str) -> str:
        return exact(counts.get(name))

    rollouts = counts.get("rollouts")
    yield f"{shown('rollouts')} rollouts of {shown('problems')} problems"
    verdicts = (f"{shown(name)} {name}" for name in ("correct", "wrong", "unverifiable"))
    share = f" ({counts['correct'] / rollouts:.1%} correct)" if rollouts else ""
    yield ", ".join(verdicts) + share
    yield f"{shown('accepted')} accepted, {shown('accepted_distinct')} of them distinct"
    yield (
        f"{shown('mean_tokens')} tokens on average, {shown('max_tokens')} at most,"
        f" {shown('truncated')} truncated"
    )


def _tables(summary: Mapping[str, Any], counts: Mapping[str, Any]) -> Iterator[tuple[str, Table]]:
    rates = counts.get("problems_by_pass_rate")
    if isinstance(rates, Mapping):
        yield "problems by the share of their rollouts that is correct", _histogram(rates)
    filters = summary.get("filters")
    if isinstance(filters, Mapping) and len(filters) > 1:
        yield "left after each filter", _funnel(filters)
    yield "counts", _pairs({k: v for k, v in counts.items() if k not in _TOLD_ABOVE})
    for name, section in summary.items():
        if isinstance(section, Mapping) and name in ("pairs", "audit") and section:
            yield name, _pairs(section)


def _histogram(rates: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    most = max(rates.values(), default=0)
    for name, number in rates.items():
        bar = "█" * round(_BAR_COLUMNS * number / most) if most else ""
        table.add_row(Text(one_line(name)), exact(number), bar or ("▏" if number else ""))
    return table


def _funnel(filters: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("filter", overflow="fold")
    columns = ("problems", "rollouts", "accepted")
    for name in columns:
        table.add_column(name, justify="right")
    for name, left in filters.items():
        table.add_row(Text(one_line(name)), *(exact(left.get(column)) for column in columns))
    return table


def _pairs(values: Mapping[str, Any]) -> Table:
    """Names and values, lists and mappings aside."""
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(justify="right", overflow="fold")
    for name, value in values.items():
        if not isinstance(value, list | Mapping):
            table.add_row(Text(one_line(name.replace("_", " "))), Text(exact(value)))
    return table
