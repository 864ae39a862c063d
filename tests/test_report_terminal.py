"""A report fits the terminal: nothing broken or cut but long names, and no markup obeyed."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from eval.notes import Note
from tests.helpers.full_report import make_report, printed
from tests.helpers.reports import with_tables


def test_markup_of_the_terminal_is_shown_and_not_obeyed():
    report = make_report(lambda name: f"[bold]{name}[/bold]")
    assert "[bold]easy[/bold]" in printed(report)
    assert "failed: [bold]dpo, seed 1[/bold]" in printed(report)


@pytest.mark.parametrize("width", [80, 100])
def test_no_cell_or_heading_of_the_terminal_is_broken_or_cut(width):
    names = ["in_distribution", "long", "olympiadbench_englis", "template", "minerva_math"]
    benchmarks = [*names, *(name.upper() for name in names)]
    report = make_report(lambda name: name.ljust(20, "_"))
    table = report.comparison[report.comparison["benchmark"].str.startswith("easy")]
    many = pd.concat([table.assign(benchmark=name) for name in benchmarks])
    pairs = report.pairwise[report.pairwise["benchmark"].str.startswith("easy")]
    paired = pd.concat([pairs.assign(benchmark=name) for name in benchmarks])
    paired = paired.sort_values(["label", "against"], kind="stable")
    text = printed(with_tables(report, comparison=many, pairwise=paired), width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    for label in many["label"].unique():
        shown = [line for line in lines if line.strip().startswith(label) and "±" in line]
        cells = [cell for line in shown for cell in re.findall(r"[\d.]+ ± [\d.]+", line)]
        rows = many.query("label == @label")
        assert len(cells) == len(rows) == 10
        assert [cell.split(" ")[0] for cell in cells] == [
            f"{row.avg_at_k_percent:.1f}" for row in rows.itertuples()
        ]
    headings = [line.split()[1:] for line in lines if line.split()[:1] == ["label"]]
    assert [name for names in headings for name in names] == benchmarks
    for pair in paired.query("family != 'exploratory'").itertuples():
        assert f"{pair.label} - {pair.against}" in [line.strip() for line in lines]
        span = f"[{pair.low_points:+.1f}, {pair.high_points:+.1f}]"
        row = f" {pair.difference_points:+.1f} {span} "
        assert any(row in line and line.strip().startswith(pair.benchmark) for line in lines)


def test_a_long_note_of_the_terminal_is_told_to_its_end():
    note = f"{'caveat ' * 100}to the end"
    assert note in " ".join(printed(replace(make_report(), notes=(Note("data", note),))).split())


def test_a_longer_name_of_the_terminal_is_cut_with_an_ellipsis():
    report = make_report(lambda name: name.ljust(30, "_"))
    lines = printed(report, 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(f" {'dft'.ljust(19, '_')}…  ") for line in lines)
    assert any(f" {'easy'.ljust(19, '_')}…  " in line for line in lines)
