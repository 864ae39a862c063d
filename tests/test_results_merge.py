"""Runs set side by side: what they share is compared, what differs is said, nothing is mixed up."""

from dataclasses import replace

import pandas as pd
import pytest

from data_gen.types import DataError
from offline_rl.report.build_report import build_report
from offline_rl.results.merge import merge_models, merge_runs
from tests.helpers.small_report import evaluation, findings, run


def labels(joined):
    return set(build_report(joined).comparison["label"])


def test_runs_on_the_same_base_stand_in_one_table_and_are_compared_with_each_other():
    joined = merge_runs({"a": run("rft"), "b": run("dft")}, name="both")
    report = build_report(joined)
    assert labels(joined) == {"base", "rft", "dft"}
    pairs = report.pairwise.query("benchmark == 'macro'")
    assert ("dft", "rft") in set(zip(pairs["label"], pairs["against"], strict=True))
    assert not any("differ" in note for note in map(str, joined.notes))


def test_a_joined_row_is_that_of_its_own_run():
    whole = build_report(run("rft")).comparison
    joined = build_report(merge_runs({"a": run("rft"), "b": run("dft")}, name="both")).comparison
    pd.testing.assert_frame_equal(
        joined[joined["label"] == "rft"].reset_index(drop=True),
        whole[whole["label"] == "rft"].reset_index(drop=True),
    )


def test_a_label_of_several_runs_is_told_apart_unless_it_is_the_very_same_evaluation():
    joined = merge_runs({"a": run("rft"), "b": run("rft", chance=0.8)}, name="both")
    assert labels(joined) == {"base", "rft@a", "rft@b"}
    assert joined.reference == "rft@a"
    assert set(joined.training["label"]) == {"rft@a", "rft@b"}
    again = merge_runs({"a": run("rft"), "b": run("rft")}, name="both")
    assert labels(again) == {"base", "rft"}
    assert list(again.training["training_seed"]) == [0, 1]


def test_the_order_of_runs_changes_no_figure():
    first = build_report(merge_runs({"a": run("rft"), "b": run("dft")}, name="x")).comparison
    second = build_report(merge_runs({"b": run("dft"), "a": run("rft")}, name="x")).comparison
    pairs = build_report(merge_runs({"b": run("dft"), "a": run("rft")}, name="x")).pairwise
    assert set(zip(pairs["label"], pairs["against"], strict=True)) == {
        *(("rft", "base"), ("dft", "base"), ("dft", "rft"))
    }
    by = ["label", "benchmark"]
    pd.testing.assert_frame_equal(
        first.sort_values(by, ignore_index=True), second.sort_values(by, ignore_index=True)
    )


def test_other_weights_of_the_same_name_are_another_model_and_a_moved_one_is_the_same():
    other = merge_runs({"a": run("rft"), "b": run("dft", weights="v")}, name="both")
    assert set(build_report(other).comparison["model"]) == {"m", "m (b)"}
    moved = [evaluation(one, s, model="m2") for one, s in (("base", None), ("dft", 0), ("dft", 1))]
    joined = merge_runs({"a": run("rft", benchmarks=["easy"]), "b": findings(*moved)}, name="both")
    report = build_report(joined)
    assert set(report.comparison["model"]) == {"m"}
    assert set(report.training["model"]) == {"m"}


def test_only_benchmarks_with_the_same_problems_are_kept_and_the_others_named():
    joined = merge_runs({"a": run("rft"), "b": run("dft", benchmarks=["easy"])}, name="both")
    assert set(build_report(joined).comparison["benchmark"]) == {"easy", "macro"}
    assert "Left out: benchmark hard, which b was not evaluated on." in map(str, joined.notes)
    short = findings(evaluation("base", None, "hard", problems=5), evaluation("base", None, "easy"))
    joined = merge_runs({"a": run("rft"), "b": short}, name="both")
    assert "Left out: benchmark hard, whose problems are not the same (a 8, b 5)." in map(
        str, joined.notes
    )
    with pytest.raises(DataError, match="share no benchmark"):
        merge_runs(
            {"a": run("rft", benchmarks=["easy"]), "b": run("dft", benchmarks=["z"])}, name=""
        )


def test_what_differs_between_the_runs_is_said():
    other = run(
        "dft",
        settings="name: y\nmethods: {dft: {}}\nsampling: {samples: 8}\nprompt: chat\n"
        "keep: none\nreport: {formats: [csv]}\n",
        environment={"packages": {"torch": "2"}},
        hashes={"dataset_sha256": "e"},
    )
    [note] = [
        n
        for n in map(str, merge_runs({"a": run("rft"), "b": other}, name="").notes)
        if "differ" in n
    ]
    for said in ("sampling.samples 4 / 8", "prompt none / chat", "version of torch 1 / 2"):
        assert said in note
    assert "dataset_sha256 d / e" in note
    for left_out in ("methods", "keep", "report"):
        assert left_out not in note


def test_several_base_models_are_never_averaged_or_paired_with_each_other():
    small = [evaluation(one, s, model="x") for one, s in (("base", None), ("rft", 0), ("rft", 1))]
    large = [evaluation(one, s, model="x") for one, s in (("base", None), ("dft", 0), ("dft", 1))]
    parts = {"small": findings(*small), "large": findings(*large, weights="v")}
    joined = merge_models(parts, name="series", settings="")
    report = build_report(joined)
    assert list(report.comparison["model"].unique()) == ["small", "large"]
    assert set(zip(report.pairwise["model"], report.pairwise["label"], strict=True)) == {
        ("small", "rft"),
        ("large", "dft"),
    }
    alone = build_report(findings(*[replace(one, model="large") for one in large])).comparison
    pd.testing.assert_frame_equal(
        report.comparison.query("model == 'large'").reset_index(drop=True), alone
    )
