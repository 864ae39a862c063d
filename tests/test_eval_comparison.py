"""A comparison has a row for whatever was evaluated, ordered by names alone."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from eval import compare
from tests.helpers.comparisons import KEYS, TABLES, evaluation, evaluations, standard


def test_rows_are_ordered_baseline_untrained_trained_and_macro_last():
    compared = standard()
    assert list(compared.comparison["label"].unique()) == ["base", "base greedy", "dft", "rft"]
    assert list(compared.comparison["benchmark"].unique()) == ["easy", "hard", "macro"]
    pairs = compared.pairwise[["label", "against"]].drop_duplicates().to_numpy().tolist()
    declared = [["dft", "base"], ["rft", "base"], ["dft", "rft"]]
    assert pairs == [*declared, ["dft", "base greedy"], ["rft", "base greedy"]]
    ordered = compare(evaluations(), labels=["rft", "dft"], benchmarks=["hard"])
    assert list(ordered.comparison["label"].unique()) == ["base", "base greedy", "rft", "dft"]
    assert list(ordered.comparison["benchmark"].unique()) == ["hard", "easy", "macro"]


def test_neither_the_order_of_evaluations_nor_of_rows_changes_a_bit():
    found = evaluations()
    expected = compare(found)
    generator = np.random.default_rng(0)
    shuffled = [
        replace(e, grid=e.grid.iloc[generator.permutation(len(e.grid))])
        for e in (found[i] for i in generator.permutation(len(found)))
    ]
    again = compare(shuffled)
    for table in TABLES:
        found, shown = getattr(again, table), getattr(expected, table)
        pd.testing.assert_frame_equal(found, shown, check_exact=True)
    assert again.notes == expected.notes


def test_the_order_of_labels_benchmarks_and_models_moves_rows_and_changes_none():
    found = [*evaluations("m1"), *evaluations("m2")]
    expected = compare(found)
    turned = compare(
        found[::-1], models=["m2"], labels=["rft", "base greedy"], benchmarks=["hard", "easy"]
    )
    for table in TABLES:
        before, after = getattr(expected, table), getattr(turned, table)
        keys = [name for name in KEYS if name in before]
        assert list(after["model"].unique()) == ["m2", "m1"]
        pd.testing.assert_frame_equal(*(t.set_index(keys).sort_index() for t in (before, after)))


def test_models_have_the_rows_that_they_have_alone_but_for_one_family_of_all():
    alone = {name: compare(evaluations(name)) for name in ("m1", "m2")}
    together = compare([*evaluations("m1"), *evaluations("m2")], models=["m2", "m1"])
    for table in TABLES:
        whole = getattr(together, table)
        parts = [getattr(alone[name], table) for name in ("m2", "m1")]
        if table == "pairwise":
            primary = whole.query("family == 'primary'")
            smallest = primary.loc[primary["p_value"].idxmin()]
            assert smallest.holm_p_value == pytest.approx(min(1, 6 * smallest.p_value))
            whole, *parts = (one.drop(columns="holm_p_value") for one in (whole, *parts))
        pd.testing.assert_frame_equal(whole, pd.concat(parts, ignore_index=True), check_exact=True)


def test_a_model_that_lacks_a_benchmark_of_another_has_no_macro_row():
    second = [e for e in evaluations("m2") if e.benchmark == "easy"]
    compared = compare([*evaluations("m1"), *second])
    macro = compared.comparison.query("benchmark == 'macro'")
    assert set(macro["model"]) == {"m1"}
    assert any(
        note.startswith("m2: dft was not evaluated on hard") for note in map(str, compared.notes)
    )


def test_untrained_labels_are_paired_when_that_is_asked_for():
    found = [
        evaluation(label, None, benchmark, chance)
        for benchmark in ("easy", "hard")
        for label, chance in (("one", 0.3), ("two", 0.5), ("three", 0.7))
    ]
    assert compare(found, baseline="one").pairwise.empty
    pairwise = compare(found, baseline="one", among_untrained=True).pairwise
    families = pairwise.query("benchmark == 'macro'").set_index(["label", "against"])["family"]
    assert families.to_dict() == {
        ("three", "one"): "primary",
        ("two", "one"): "primary",
        ("three", "two"): "exploratory",
    }
    assert set(pairwise.query("benchmark == 'easy'")["family"]) == {"secondary", "exploratory"}


def test_every_pair_of_labels_is_there_once():
    compared = compare(
        evaluations(labels=(("rft", 0.5), ("dft", 0.7), ("dpo", 0.4))), baseline="dft"
    )
    pairs = compared.pairwise.query("benchmark == 'macro'")[["label", "against"]]
    assert not pairs.apply(frozenset, axis=1).duplicated().any()
    assert len(pairs) == 3 + 3 * 2


@pytest.mark.parametrize("table", ["comparison", "pairwise", "seeds", "pass_at_k", "profile"])
def test_a_table_written_as_csv_is_read_back_equal(table, tmp_path):
    compared = compare([*evaluations("m1"), *evaluations("org/m 2")])
    shown = getattr(compared, table)
    shown.to_csv(tmp_path / "table.csv", index=False)
    read = pd.read_csv(tmp_path / "table.csv", dtype=shown.dtypes.to_dict())
    pd.testing.assert_frame_equal(read, shown, check_exact=True)
    assert shown.columns[0] == "model"


def test_labels_that_are_missing_have_no_rows():
    found = [e for e in evaluations() if e.label != "rft"]
    compared = compare(found)
    assert set(compared.pairwise["against"]) == {"base", "base greedy"}
    assert any("reference rft was not evaluated" in note for note in map(str, compared.notes))
    untrained = compare([e for e in found if e.training_seed is None])
    assert untrained.pairwise.empty
    assert list(untrained.pairwise.columns) == list(compared.pairwise.columns)


def test_a_label_without_every_benchmark_has_no_macro_row():
    found = [e for e in evaluations() if (e.label, e.benchmark) != ("dft", "hard")]
    compared = compare(found)
    assert "macro" not in set(compared.comparison.query("label == 'dft'")["benchmark"])
    assert set(compared.pairwise.query("label == 'dft'")["benchmark"]) == {"easy"}
    assert any("dft was not evaluated on hard" in note for note in map(str, compared.notes))
