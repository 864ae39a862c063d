"""A comparison says what it cannot tell: few seeds, few problems, other problems, no spread."""

import math
from dataclasses import replace

import pytest

from eval import compare
from eval.comparison import CHECKS
from tests.helpers.comparisons import evaluation, evaluations, row


def test_models_that_were_asked_different_problems_are_said_not_to_compare():
    other = [
        replace(e, grid=e.grid[e.grid["problem_id"] != "p3"]) if e.benchmark == "hard" else e
        for e in evaluations("m2")
    ]
    compared = compare([*evaluations("m1"), *other])
    assert any(
        "same problems of hard (m1: 12, m2: 11)" in note for note in map(str, compared.notes)
    )
    assert not any("same problems of easy" in note for note in map(str, compared.notes))


def test_two_training_seeds_and_few_problems_are_said_to_be_few():
    two = [e for e in evaluations() if e.training_seed in (None, 0, 1)]
    notes = compare(two).notes
    assert any(note.startswith("Two training seeds only (dft, rft)") for note in map(str, notes))
    assert any(
        note.startswith("easy has 12 problems, fewer than the 30") for note in map(str, notes)
    )
    assert not any("sign-flip" in note for note in map(str, notes))
    for check in ("sign_flip_p_value", "mcnemar_p_value"):
        assert "of these checkpoints only" in CHECKS[check]
    assert "too narrow with few training seeds" in CHECKS["bootstrap_low_points"]


@pytest.mark.parametrize(("problems", "said"), [(30, True), (99, True), (100, False)])
def test_a_small_benchmark_is_said_to_carry_no_conclusion(problems, said):
    found = [
        evaluation(label, seed, "aime", chance, problems=problems)
        for label, seed, chance in (
            ("base", None, 0.4),
            *(("dft", s, 0.5) for s in (0, 1, 2)),
            *(("rft", s, 0.5) for s in (0, 1, 2)),
        )
    ]
    compared = compare(found)
    notes = [
        note
        for note in map(str, compared.notes)
        if note.startswith(f"aime has {problems} problems")
    ]
    assert len(notes) == said
    if said:
        points = compared.pairwise.query("benchmark == 'aime'")["minimum_detectable_points"]
        assert f"{points.min():.1f} to {points.max():.1f} points" in notes[0]


def test_one_training_seed_is_said_to_speak_of_checkpoints():
    found = [e for e in evaluations() if e.training_seed in (None, 0)]
    compared = compare(found)
    assert "speak of the checkpoints" in str(compared.notes[0])
    assert "dft, rft" in str(compared.notes[0])
    shown = row(compared.comparison, label="dft", benchmark="easy")
    assert math.isnan(shown.training_seed_sd_points)
    assert row(compared.pairwise, label="dft", against="rft", benchmark="easy").wins >= 0


def test_equal_accuracy_everywhere_is_not_sold_as_certainty():
    compared = compare([evaluation("base", None, "easy", 0.0)])
    assert compared.comparison.iloc[0].avg_at_k_high_percent == 0
    assert "no certainty" in str(compared.notes[0])
