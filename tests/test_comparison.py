"""Comparisons are paired on problems, ordered by names alone, and refuse what does not match."""

import math

import numpy as np
import pandas as pd
import pytest

from data_gen.collection import collect
from data_gen.types import Completion, DataError, Problem, Sampling
from data_gen.verifiers.exact import ExactSettings
from eval import Benchmark, Evaluation, compare, evaluate, load_evaluation
from eval.evaluation import GRID_COLUMNS, grid
from eval.statistics import clustered_mean, headline_difference, headline_mean


def evaluation(
    label, seed, benchmark, chance, *, problems=12, samples=4, temperature=1.0, model=""
):
    generator = np.random.default_rng([len(label), 0 if seed is None else seed + 1, len(benchmark)])
    rows = []
    for i in range(problems):
        for j in range(samples):
            right = generator.random() < chance * (0.5 + i / problems)
            answer = "7" if right else str(generator.integers(3))
            verdict = ("correct", "") if right else ("wrong", "different")
            length, nll = int(generator.integers(5, 50)), float(generator.random())
            rows.append((f"p{i}", j, i + j, *verdict, answer, float(right), length, False, nll))
    grid = pd.DataFrame(rows, columns=GRID_COLUMNS)
    return Evaluation(label, seed, benchmark, temperature, grid, model)


def evaluations(model="", labels=(("rft", 0.5), ("dft", 0.7))):
    found = []
    for benchmark in ("easy", "hard"):
        found += [
            evaluation("base", None, benchmark, 0.4, model=model),
            evaluation(
                "base greedy", None, benchmark, 0.5, samples=1, temperature=0.0, model=model
            ),
        ]
        for label, chance in labels:
            found += [evaluation(label, s, benchmark, chance, model=model) for s in (0, 1, 2)]
    return found


def row(table, **where):
    found = table[np.logical_and.reduce([table[name] == value for name, value in where.items()])]
    assert len(found) == 1
    return found.iloc[0]


def table_of(found, label, benchmark):
    grids = [e.grid for e in found if (e.label, e.benchmark) == (label, benchmark)]
    correct = [g.assign(right=g["verdict"] == "correct") for g in grids]
    return np.array([g.groupby("problem_id")["right"].mean() for g in correct])


def test_rows_are_ordered_baseline_untrained_trained_and_macro_last():
    compared = compare(evaluations())
    assert list(compared.comparison["label"].unique()) == ["base", "base greedy", "dft", "rft"]
    assert list(compared.comparison["benchmark"].unique()) == ["easy", "hard", "macro"]
    pairs = compared.pairwise[["label", "against"]].drop_duplicates().to_numpy().tolist()
    declared = [["dft", "base"], ["rft", "base"], ["dft", "rft"]]
    assert pairs == [*declared, ["dft", "base greedy"], ["rft", "base greedy"]]
    ordered = compare(evaluations(), labels=["rft", "dft"], benchmarks=["hard"])
    assert list(ordered.comparison["label"].unique()) == ["base", "base greedy", "rft", "dft"]
    assert list(ordered.comparison["benchmark"].unique()) == ["hard", "easy", "macro"]
    assert compared.notes == ()


def test_figures_are_those_of_the_statistics_on_seed_by_problem_tables():
    found = evaluations()
    compared = compare(found)
    tables = {
        label: [table_of(found, label, benchmark) for benchmark in ("easy", "hard")]
        for label in ("base", "dft", "rft")
    }
    for label in ("base", "dft"):
        mean = headline_mean(tables[label])
        shown = row(compared.comparison, label=label, benchmark="macro")
        assert shown.avg_at_k_percent == pytest.approx(100 * mean.value)
        assert shown.avg_at_k_low_percent == pytest.approx(100 * mean.low)
        assert shown.problems == 24
        parts = [clustered_mean(table.mean(axis=0)).standard_error for table in tables[label]]
        assert shown.standard_error_points == pytest.approx(100 * math.hypot(*parts) / 2)
    for against in ("base", "rft"):
        for benchmark, part in (("hard", slice(1, 2)), ("macro", slice(0, 2))):
            expected = headline_difference(tables["dft"][part], tables[against][part])
            shown = row(compared.pairwise, label="dft", against=against, benchmark=benchmark)
            assert shown.difference_points == pytest.approx(100 * expected.value)
            assert shown.low_points == pytest.approx(100 * expected.low)
            assert shown.p_value == pytest.approx(expected.p_value)
            assert shown.degrees_of_freedom == pytest.approx(expected.degrees_of_freedom)
            assert shown.minimum_detectable_points == pytest.approx(
                2.8 * shown.standard_error_points
            )
            assert shown.wins + shown.ties + shown.losses == shown.problems


def test_points_of_pass_at_k_are_powers_of_two_and_the_samples_that_were_drawn():
    compared = compare(evaluations())
    for label, points in (("base greedy", [1]), ("dft", [1, 2, 4])):
        for benchmark in ("easy", "macro"):
            drawn = compared.pass_at_k.query("label == @label and benchmark == @benchmark")
            assert list(drawn["k"]) == points
            assert drawn["pass_at_k_percent"].is_monotonic_increasing
            assert (drawn["low_percent"] <= drawn["pass_at_k_percent"]).all()
            assert (drawn["high_percent"] >= drawn["pass_at_k_percent"]).all()
            shown = row(compared.comparison, label=label, benchmark=benchmark)
            assert drawn["pass_at_k_percent"].iloc[0] == pytest.approx(shown.avg_at_k_percent)
            assert drawn["low_percent"].iloc[0] == pytest.approx(shown.avg_at_k_low_percent)
            assert drawn["pass_at_k_percent"].iloc[-1] == pytest.approx(shown.pass_at_k_percent)


def test_entropy_is_empty_where_not_sampled_at_temperature_one():
    table = compare(evaluations()).comparison
    assert math.isnan(row(table, label="base greedy", benchmark="easy").token_entropy_nats)
    assert row(table, label="dft", benchmark="easy").token_entropy_nats > 0


def test_holm_is_adjusted_over_macro_pairs_and_over_the_others():
    pairwise = compare(evaluations()).pairwise
    for family, benchmarks, size in (("primary", {"macro"}, 3), ("secondary", {"easy", "hard"}, 6)):
        members = pairwise[pairwise["family"] == family]
        assert set(members["benchmark"]) == benchmarks
        smallest = members["p_value"].idxmin()
        expected = min(1, size * members.loc[smallest, "p_value"])
        assert members.loc[smallest, "holm_p_value"] == pytest.approx(expected)


def test_neither_the_order_of_evaluations_nor_of_rows_changes_a_bit():
    found = evaluations()
    expected = compare(found)
    generator = np.random.default_rng(0)
    shuffled = [
        Evaluation(
            e.label,
            e.training_seed,
            e.benchmark,
            e.temperature,
            e.grid.iloc[generator.permutation(len(e.grid))],
        )
        for e in (found[i] for i in generator.permutation(len(found)))
    ]
    again = compare(shuffled)
    pd.testing.assert_frame_equal(again.comparison, expected.comparison, check_exact=True)
    pd.testing.assert_frame_equal(again.pairwise, expected.pairwise, check_exact=True)


def test_an_interval_stays_within_0_and_100_percent():
    rare = evaluation("base", None, "easy", 0.0)
    rare.grid.loc[0, "verdict"] = "correct"
    shown = compare([rare]).comparison.iloc[0]
    assert shown.avg_at_k_low_percent == 0
    assert shown.avg_at_k_percent == pytest.approx(100 / 48)


def test_one_training_seed_is_said_to_speak_of_checkpoints():
    found = [e for e in evaluations() if e.training_seed in (None, 0)]
    compared = compare(found)
    assert "speak of the checkpoints" in compared.notes[0]
    assert "dft, rft" in compared.notes[0]
    shown = row(compared.comparison, label="dft", benchmark="easy")
    assert math.isnan(shown.training_seed_sd_points)
    assert row(compared.pairwise, label="dft", against="rft", benchmark="easy").wins >= 0


def test_labels_that_are_missing_have_no_rows():
    found = [e for e in evaluations() if e.label != "rft"]
    compared = compare(found)
    assert set(compared.pairwise["against"]) == {"base", "base greedy"}
    assert any("reference rft was not evaluated" in note for note in compared.notes)
    untrained = compare([e for e in found if e.training_seed is None])
    assert untrained.pairwise.empty
    assert list(untrained.pairwise.columns) == list(compared.pairwise.columns)


def test_a_label_without_every_benchmark_has_no_macro_row():
    found = [e for e in evaluations() if (e.label, e.benchmark) != ("dft", "hard")]
    compared = compare(found)
    assert "macro" not in set(compared.comparison.query("label == 'dft'")["benchmark"])
    assert set(compared.pairwise.query("label == 'dft'")["benchmark"]) == {"easy"}
    assert any("dft was not evaluated on hard" in note for note in compared.notes)


def test_equal_accuracy_everywhere_is_not_sold_as_certainty():
    compared = compare([evaluation("base", None, "easy", 0.0)])
    assert compared.comparison.iloc[0].avg_at_k_high_percent == 0
    assert "no certainty" in compared.notes[1]


def test_a_single_problem_has_no_interval():
    lonely = [
        evaluation(label, seed, "easy", 0.5, problems=1)
        for label, seed in (("base", None), ("dft", 0), ("dft", 1))
    ]
    compared = compare(lonely)
    assert compared.comparison["avg_at_k_low_percent"].isna().all()
    assert compared.pairwise["holm_p_value"].isna().all()


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


class Scripted:
    """A sampler that answers right where the sample's index allows it."""

    def __call__(self, problems, sampling):
        return [
            Completion(
                problem_id=problem.id,
                sample=j,
                seed=100 + j,
                prompt=problem.prompt,
                prompt_tokens=(1, 2),
                text=rf"so \boxed{{{problem.answer if j % 2 else 'x'}}}",
                tokens=tuple(range(j)),
                logps=() if problem.id == "q2" else tuple(-0.1 * (t + 1) for t in range(j)),
                finish_reason="length" if j == 3 else "stop",
            )
            for problem in problems
            for j in range(sampling.samples)
        ]


def test_an_evaluation_read_from_its_folder_equals_the_one_first_made(tmp_path):
    problems = tuple(Problem(f"q{i}", "1 + 1 =", str(i)) for i in range(3))
    with ExactSettings().open() as verify:
        benchmark = Benchmark("tiny", problems, verify, Sampling(samples=4))
        made = evaluate("dft", Scripted(), benchmark, training_seed=1, folder=tmp_path)
        rollouts = collect(problems, Scripted(), verify, Sampling(samples=4))
    assert (made.label, made.training_seed, made.benchmark) == ("dft", 1, "tiny")
    assert made.temperature == 1.0
    assert list(made.grid["verdict"][:4]) == ["wrong", "correct", "wrong", "correct"]
    assert list(made.grid["tokens"][:4]) == [0, 1, 2, 3]
    assert list(made.grid["truncated"][:4]) == [False, False, False, True]
    np.testing.assert_allclose(made.grid["nll"][:4], [math.nan, 0.1, 0.15, 0.2], rtol=1e-6)
    assert made.grid.query("problem_id == 'q2'")["nll"].isna().all()
    read = load_evaluation(
        tmp_path, label="dft", training_seed=1, benchmark="tiny", temperature=1.0
    )
    for other in (read.grid, grid(rollouts)):
        pd.testing.assert_frame_equal(made.grid, other, check_exact=True, check_dtype=False)


def test_parts_that_are_missing_or_torn_are_named(tmp_path):
    about = {"label": "dft", "training_seed": 1, "benchmark": "tiny", "temperature": 1.0}
    with pytest.raises(DataError, match=r"no part-\*.parquet"):
        load_evaluation(tmp_path, **about)
    (tmp_path / "part-00000.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match=r"part-00000.parquet: not a whole part"):
        load_evaluation(tmp_path, **about)
