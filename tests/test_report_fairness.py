"""What methods were given to learn with, where it differs, is said."""

import html
from dataclasses import replace

from offline_rl.report import training_table, write_report
from offline_rl.report.build_report import build_report
from offline_rl.report.fairness import (
    budget_flags,
    kernel_notes,
    left_out_notes,
    setting_notes,
    with_marks,
)
from offline_rl.settings.training import Lora
from tests.helpers.full_report import RECORDS, make_report, printed, trained
from tests.helpers.policies import SETTINGS, trial


def with_settings(label, **changes):
    return trained(label, 0, settings=SETTINGS.model_copy(update=changes))


def test_optimisation_that_differs_between_methods_is_told_by_its_values():
    records = [
        with_settings("rft"),
        with_settings("dft"),
        with_settings("dpo", lr=1e-6, warmup=0.05),
    ]
    assert setting_notes(training_table(records[:2], model="m")) == []
    [note] = map(str, setting_notes(training_table(records, model="m")))
    assert (
        "learning rate 0.0001 (rft, dft), 1e-06 (dpo); warm-up 0.1 (rft, dft), 0.05 (dpo)." in note
    )
    assert "weight decay" not in note
    adapted = [records[0], with_settings("dft", lora=Lora(rank=8))]
    [note] = map(str, setting_notes(training_table(adapted, model="m")))
    assert "LoRA rank none (rft), 8 (dft)." in note


def test_methods_that_left_out_much_as_too_long_are_told():
    few = trained("rft", 0, examples=320, examples_too_long=2)
    much = [trained("dpo", seed, examples=1, examples_too_long=3) for seed in (0, 1)]
    assert left_out_notes(training_table([few], model="m")) == []
    [note] = map(str, left_out_notes(training_table([few, *much], model="m")))
    assert ": dpo 75% of what was found for it." in note


def test_the_comparison_repeats_what_each_method_took_and_pairs_tell_where_they_differ():
    report = make_report()
    rows = report.comparison.set_index("label")
    assert (rows.loc["dpo", "training_tokens_seen"] == 2100).all()
    assert rows.loc["base", "training_steps"].isna().all()
    marks = report.pairwise.set_index(["label", "against"])["budgets_that_differ"]
    assert marks["dft", "rft"].isna().all()
    assert (marks["dpo", "rft"] == "trained_tokens_seen").all()
    assert marks["dpo", "base"].isna().all()
    trials = [trial(RECORDS[0], 0, 0.5)]
    tried = with_marks(report.pairwise, training_table(RECORDS, trials, model="m"))
    assert (
        tried.set_index(["label", "against"])["budgets_that_differ"]["dft", "rft"] == "trials"
    ).all()


def test_methods_whose_budgets_differ_by_more_than_5_percent_are_flagged(tmp_path):
    flags = budget_flags(training_table(RECORDS, model="m"))
    assert list(flags) == ["trained_tokens_seen"]
    assert "1,000 (dft) to 2,100 (dpo)" in flags["trained_tokens_seen"] or (
        "1,000 (rft) to 2,100 (dpo)" in flags["trained_tokens_seen"]
    )
    close = [trained("rft", 0, steps=100), trained("dft", 0, steps=105)]
    assert budget_flags(training_table(close, model="m")) == {}
    apart = [trained("rft", 0, steps=100), trained("dft", 0, steps=106)]
    assert list(budget_flags(training_table(apart, model="m"))) == ["steps"]
    assert budget_flags(training_table(RECORDS[-1:], model="m")) == {}
    write_report(tmp_path, make_report())
    assert flags["trained_tokens_seen"] in html.unescape((tmp_path / "index.html").read_text())
    assert "Budgets differ: trained tokens" in printed(make_report())


def test_policies_whose_attention_was_computed_otherwise_are_said(tmp_path):
    assert kernel_notes(training_table(RECORDS, model="m")) == []
    varlen = [
        trained(one.label, one.training_seed, attention="varlen") if one.label == "dft" else one
        for one in RECORDS
    ]
    training = training_table(varlen, model="m")
    [note] = map(str, kernel_notes(training))
    assert note.startswith("Attention was computed by kernels that round otherwise (")
    assert "varlen: dft" in note
    report = build_report(replace(make_report().results, training=training))
    assert note in " ".join(printed(report).split())
