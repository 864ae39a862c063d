"""The columns of a comparison: the fields of its rows, each with a meaning."""

import pytest

from eval import comparison, curves, label_rows, pair_rows
from eval.columns import meanings, table_of
from offline_rl.report.columns import COLUMNS

ROWS = [
    label_rows.LabelRow,
    label_rows.SeedRow,
    label_rows.LabelChecks,
    pair_rows.PairRow,
    pair_rows.PairChecks,
    curves.PassAtKRow,
    curves.ProfileRow,
    comparison.CheckRow,
]


@pytest.mark.parametrize("row", ROWS)
def test_every_column_has_a_meaning(row):
    assert list(meanings(row)) == list(row.__annotations__)
    assert all(meaning and meaning.strip() == meaning for meaning in meanings(row).values())


def test_a_table_has_the_columns_of_its_rows_in_their_order():
    [name, *_] = columns = list(meanings(curves.PassAtKRow))
    given = dict.fromkeys(reversed([*columns, "other"]), 1)
    assert list(table_of([given], curves.PassAtKRow).columns) == columns
    assert list(COLUMNS["pass_at_k.csv"]) == columns
    assert table_of([], curves.PassAtKRow)[name].empty


def test_the_checks_are_of_labels_and_of_pairs():
    of_labels, of_pairs = meanings(label_rows.LabelChecks), meanings(pair_rows.PairChecks)
    assert list(comparison.CHECKS) == [*of_labels, *of_pairs]
    assert not of_labels.keys() & of_pairs.keys()
