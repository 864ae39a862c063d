"""The counts of a data set in a terminal."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue, ValidationError
from pydantic_core import from_json
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_gen.cards.counts import FilterCounts
from data_gen.cards.rollout_counts import DatasetCounter, DatasetCounts, RolloutCounts
from data_gen.store.rollouts import iterate_rollouts
from data_gen.types import DataError
from offline_rl.artifacts.records import DatasetSummary, RolloutsSummary, first_fault
from offline_rl.report.text import exact, one_line

_BAR_COLUMNS = 40
_SHOWN_ABOVE = (
    *("rollouts", "problems", "correct", "wrong", "unverifiable", "truncated"),
    *("accepted", "accepted_distinct", "mean_tokens", "max_tokens"),
)


def print_overview(path: Path, console: Console, *, untrusted: bool = False) -> None:
    """Counts and lengths, the pass rates of the problems, and what each filter left.

    `path` is a folder of parts or a file. Its summary.json is taken where there is one, else the
    rollouts are counted, which are read as untrusted input where they are `untrusted`. Fits 80
    columns. Raises DataError naming the field that is not as this version writes it.
    """
    summary = _read_summary(path, untrusted)
    counts = summary.dataset if isinstance(summary, DatasetSummary) else summary
    console.print(Text(one_line(str(path), 1000), style="bold"), soft_wrap=True)
    for line in _headline(counts):
        console.print(Text(line))
    for title, table in _tables(summary, counts):
        console.print(Text(f"\n{title}", style="italic"))
        console.print(table)


def _read_summary(path: Path, untrusted: bool) -> DatasetSummary | RolloutCounts:
    file = path / DatasetSummary.FILE
    if not file.is_file():
        counter = DatasetCounter()
        counter.add(iterate_rollouts(path, untrusted=untrusted))
        return counter.dataset()
    content = file.read_bytes()
    try:
        found = from_json(content)
        of_dataset = isinstance(found, dict) and "dataset" in found
        return (DatasetSummary if of_dataset else RolloutsSummary).model_validate_json(content)
    except ValidationError as error:
        reason = first_fault(error)
    except ValueError as error:
        reason = str(error)
    raise DataError(
        f"{file}: not the counts of a data set ({one_line(reason, 200)}): without this file the"
        " rollouts are counted"
    )


def _headline(counts: RolloutCounts) -> Iterator[str]:
    yield f"{exact(counts.rollouts)} rollouts of {exact(counts.problems)} problems"
    share = f" ({counts.correct / counts.rollouts:.1%} correct)" if counts.rollouts else ""
    yield (
        f"{exact(counts.correct)} correct, {exact(counts.wrong)} wrong,"
        f" {exact(counts.unverifiable)} unverifiable{share}"
    )
    if isinstance(counts, DatasetCounts):
        distinct = exact(counts.accepted_distinct)
        yield f"{exact(counts.accepted)} accepted, {distinct} of them distinct"
    yield (
        f"{exact(counts.mean_tokens)} tokens on average, {exact(counts.max_tokens)} at most,"
        f" {exact(counts.truncated)} truncated"
    )


def _tables(
    summary: DatasetSummary | RolloutCounts, counts: RolloutCounts
) -> Iterator[tuple[str, Table]]:
    title = "problems by the share of their rollouts that is correct"
    yield title, _histogram(counts.problems_by_pass_rate)
    if isinstance(summary, DatasetSummary) and len(summary.filters) > 1:
        yield "left after each filter", _funnel(summary.filters)
    yield "counts", _pairs(counts.model_dump(mode="json", exclude=set(_SHOWN_ABOVE)))
    if isinstance(summary, DatasetSummary):
        yield "pairs", _pairs(summary.pairs.model_dump(mode="json"))
        if summary.audit is not None:
            yield "audit", _pairs(summary.audit.model_dump(mode="json"))


def _histogram(rates: Mapping[str, int]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    most = max(rates.values(), default=0)
    for name, number in rates.items():
        bar = "█" * round(_BAR_COLUMNS * number / most) if most else ""
        table.add_row(Text(one_line(name)), exact(number), bar or ("▏" if number else ""))
    return table


def _funnel(filters: Mapping[str, FilterCounts]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("filter", overflow="fold")
    for name in FilterCounts.model_fields:
        table.add_column(name, justify="right")
    for name, left in filters.items():
        table.add_row(Text(one_line(name)), *(exact(count) for _, count in left))
    return table


def _pairs(values: Mapping[str, JsonValue]) -> Table:
    """Names and values, lists and mappings aside."""
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(justify="right", overflow="fold")
    for name, value in values.items():
        if not isinstance(value, list | dict):
            table.add_row(Text(one_line(name.replace("_", " "))), Text(exact(value)))
    return table
