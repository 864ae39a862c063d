"""Evaluations that do not match are refused, by the name of what differs."""

from dataclasses import replace

import pytest

from data_gen.types import DataError
from eval import Evaluation, compare
from tests.helpers.comparisons import evaluation, evaluations


def _altered(change):
    """Evaluations, one of which `change` has replaced; None leaves it out."""
    found = evaluations()
    picked = next(e for e in found if (e.label, e.training_seed, e.benchmark) == ("dft", 1, "hard"))
    changed = change(picked)
    others = [e for e in found if e is not picked]
    return others if changed is None else [*others, *changed]


def _with_grid(picked, grid):
    return [Evaluation(picked.label, picked.training_seed, picked.benchmark, 1.0, grid)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: None, "dft: no evaluation of seed 1 on hard"),
        (lambda e: [e, e], "dft on hard: the same training seed is given twice"),
        (lambda e: _with_grid(e, e.grid[e.grid["problem_id"] != "p3"]), "lacks problem p3"),
        (lambda e: _with_grid(e, e.grid[e.grid["sample"] < 2]), "samples per problem differ"),
        (
            lambda e: _with_grid(e, e.grid[~e.grid["problem_id"].isin(["p3", "p10"])]),
            "dft, seed 1 on hard: lacks 2 problems: p10, p3, which others have",
        ),
        (lambda e: _with_grid(e, e.grid.iloc[:-1]), "fewer than 4 samples of problem p11"),
        (lambda e: _with_grid(e, e.grid.iloc[[0, *range(len(e.grid))]]), "is there twice"),
        (lambda e: _with_grid(e, e.grid.iloc[:0]), "there are no samples"),
        (lambda e: [Evaluation("dft", 1, "hard", 0.7, e.grid)], r"several temperatures \(0.7, 1"),
        (lambda e: [replace(e, top_p=0.9)], r"several top_p \(0.9, 1"),
        (lambda e: [e, Evaluation("dft", None, "hard", 1.0, e.grid)], "trained and untrained"),
        (lambda e: [e, Evaluation("dft", 1, "macro", 1.0, e.grid)], "cannot be called 'macro'"),
    ],
)
def test_what_does_not_match_is_refused_by_name(change, message):
    with pytest.raises(DataError, match=message):
        compare(_altered(change))


def test_other_problems_between_labels_are_refused_by_name():
    other = evaluation("dft", 0, "easy", 0.5, problems=13)
    with pytest.raises(DataError, match="dft on easy: has problem p12, which base lack"):
        compare([evaluation("base", None, "easy", 0.5), other])
    with pytest.raises(DataError, match="no evaluations"):
        compare([])
