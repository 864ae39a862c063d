"""Every note says what it is on, so that a reader can filter them."""

from typing import get_args

from data_gen.types import Sampling
from eval.notes import NoteKind
from offline_rl.artifacts.records import EvaluationInfo, Overlap
from offline_rl.report.build_report import build_report
from offline_rl.results.collect import _left_out
from offline_rl.results.merge import merge_runs
from offline_rl.results.run_notes import benchmark_notes, damage_notes, overlap_note
from tests.helpers.full_report import make_report
from tests.helpers.small_report import run

INFO = EvaluationInfo(
    label="base",
    training_seed=None,
    benchmark="aime",
    sampling=Sampling(),
    engine={},
    verifier={},
    left_out_too_long=["p1"],
    doubt="has other problems than were published",
)


def kinds(notes):
    return [note.kind for note in notes]


def test_what_a_report_leaves_out_is_missing():
    assert kinds(damage_notes(["models/rft/seed-0: cut"])) == ["missing"]
    assert kinds(_left_out(["models/rft/seed-0"])) == ["missing"]
    assert kinds(benchmark_notes(INFO)) == ["data", "data"]
    shared = {"easy": Overlap.Counts(problems=5, shared=2)}
    assert kinds(overlap_note(Overlap(benchmarks=shared), "easy")) == ["data"]


def test_notes_of_a_comparison_keep_their_kind_under_the_name_of_a_run():
    parts = {"a": run("rft", notes=tuple(damage_notes(["x: cut"]))), "b": run("dft")}
    notes = build_report(merge_runs(parts, name="both")).notes
    assert set(kinds(notes)) <= set(get_args(NoteKind))
    assert [note.text for note in notes if note.kind == "missing"] == [
        "a: Left out as damaged: x: cut. The same run makes them again."
    ]
    assert "statistics" in kinds(notes)


def test_unequal_training_comes_first_and_is_on_fairness():
    first, *others = make_report().notes
    assert first.kind == "fairness"
    assert first.text.startswith("Budgets differ: trained tokens seen")
    assert others[0].kind == "statistics"
