"""What methods were given to learn with, where it differs, is said."""

from offline_rl.report import training_table
from offline_rl.report.fairness import left_out_notes, setting_notes
from tests.test_report import trained


def changed(record, settings=(), **counts):
    training = {**record["report"]["training"], **dict(settings)}
    return {**record, "report": {**record["report"], **counts, "training": training}}


def test_optimisation_that_differs_between_methods_is_told_by_its_values():
    records = [
        changed(trained("rft", 0), {"lora": None}),
        changed(trained("dft", 0), {"lora": None}),
        changed(trained("dpo", 0), {"lora": None, "lr": 1e-6, "warmup": 0.05}),
    ]
    assert setting_notes(training_table(records[:2], model="m")) == []
    [note] = setting_notes(training_table(records, model="m"))
    assert (
        "learning rate 0.0001 (rft, dft), 1e-06 (dpo); warm-up 0.1 (rft, dft), 0.05 (dpo)." in note
    )
    assert "weight decay" not in note
    adapted = [records[0], changed(trained("dft", 0), {"lora": {"rank": 8}})]
    [note] = setting_notes(training_table(adapted, model="m"))
    assert "LoRA rank none (rft), 8 (dft)." in note


def test_methods_that_left_out_much_as_too_long_are_told():
    few = changed(trained("rft", 0), examples=320, examples_too_long=2)
    much = [changed(trained("dpo", seed), examples=1, examples_too_long=3) for seed in (0, 1)]
    assert left_out_notes(training_table([few], model="m")) == []
    [note] = left_out_notes(training_table([few, *much], model="m"))
    assert ": dpo 75% of what was found for it." in note
