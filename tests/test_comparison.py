"""Comparisons are paired on problems, ordered by names alone, and refuse what does not match."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from data_gen.collection import collect
from data_gen.types import Completion, DataError, Problem, Sampling
from data_gen.verifiers.exact import ExactSettings
from eval import (
    Benchmark,
    Evaluation,
    compare,
    evaluate,
    load_evaluation,
    paired_bootstrap,
)
from eval.evaluation import GRID_COLUMNS, grid
from eval.permutation import permutation_p_value, sign_flipped_means
from eval.statistics import clustered_mean, headline_difference, headline_mean

TABLES = ("comparison", "pairwise", "seeds", "pass_at_k", "profile")
KEYS = ["model", "label", "against", "training_seed", "benchmark", "k", "threshold_percent"]


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


@cache
def standard():
    return compare(evaluations())


def row(table, **where):
    found = table[np.logical_and.reduce([table[name] == value for name, value in where.items()])]
    assert len(found) == 1
    return found.iloc[0]


def table_of(found, label, benchmark):
    grids = [e.grid for e in found if (e.label, e.benchmark) == (label, benchmark)]
    correct = [g.assign(right=g["verdict"] == "correct") for g in grids]
    return np.array([g.groupby("problem_id")["right"].mean() for g in correct])


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
                100 * expected.minimum_detectable
            )
            assert shown.wins + shown.ties + shown.losses == shown.problems


def test_points_of_pass_at_k_are_powers_of_two_and_the_samples_that_were_drawn():
    compared = standard()
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
    table = standard().comparison
    assert math.isnan(row(table, label="base greedy", benchmark="easy").token_entropy_nats)
    assert row(table, label="dft", benchmark="easy").token_entropy_nats > 0


def test_holm_is_adjusted_within_each_family_alone():
    pairwise = standard().pairwise
    families = [("primary", {"macro"}, 3), ("secondary", {"easy", "hard"}, 6)]
    for family, benchmarks, size in [*families, ("exploratory", {"easy", "hard", "macro"}, 6)]:
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
    assert any(note.startswith("m2: dft was not evaluated on hard") for note in compared.notes)


def test_models_that_were_asked_different_problems_are_said_not_to_compare():
    other = [
        replace(e, grid=e.grid[e.grid["problem_id"] != "p3"]) if e.benchmark == "hard" else e
        for e in evaluations("m2")
    ]
    compared = compare([*evaluations("m1"), *other])
    assert any("same problems of hard (m1: 12, m2: 11)" in note for note in compared.notes)
    assert not any("same problems of easy" in note for note in compared.notes)


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


def test_seeds_have_rows_of_their_own_whose_mean_is_that_of_the_label():
    found = evaluations()
    compared = compare(found)
    assert str(compared.seeds["training_seed"].dtype) == "Int64"
    assert compared.seeds.query("label == 'base'")["training_seed"].isna().all()
    for benchmark in ("hard", "macro"):
        seeds = compared.seeds.query("label == 'dft' and benchmark == @benchmark")
        assert list(seeds["training_seed"]) == [0, 1, 2]
        shown = row(compared.comparison, label="dft", benchmark=benchmark)
        for name in set(seeds.columns) & set(compared.comparison.columns) - set(KEYS):
            if name != "standard_error_points":
                assert seeds[name].mean() == pytest.approx(shown[name]), name
        assert seeds["avg_at_k_percent"].std() == pytest.approx(shown.training_seed_sd_points)
    [single] = table_of(found, "dft", "hard")[1:2]
    error = compared.seeds.query("training_seed == 1 and label == 'dft' and benchmark == 'hard'")
    assert error["standard_error_points"].item() == pytest.approx(
        100 * clustered_mean(single).standard_error
    )


def test_the_profile_is_the_share_of_problems_with_at_least_that_accuracy():
    found = evaluations()
    compared = compare(found)
    shares = {}
    for benchmark in ("easy", "hard"):
        table = table_of(found, "dft", benchmark)
        shown = compared.profile.query("label == 'dft' and benchmark == @benchmark")
        assert list(shown["threshold_percent"]) == [25, 50, 75, 100]
        shares[benchmark] = [100 * (table >= t).mean() for t in (0.25, 0.5, 0.75, 1)]
        assert list(shown["problems_percent"]) == pytest.approx(shares[benchmark])
    macro = compared.profile.query("label == 'dft' and benchmark == 'macro'")
    expected = np.mean([shares["easy"], shares["hard"]], axis=0)
    assert list(macro["problems_percent"]) == pytest.approx(list(expected))
    many = compare([evaluation("base", None, "easy", 0.5, samples=64)]).profile
    thresholds = many.query("benchmark == 'easy'")["threshold_percent"]
    assert len(thresholds) == 20
    assert thresholds.iloc[-1] == 100
    assert (thresholds * 64 / 100 % 1 == 0).all()


def test_further_columns_of_pairs_by_hand():
    found = evaluations()
    pairwise = compare(found).pairwise
    for benchmark in ("easy", "hard"):
        ours, theirs = (table_of(found, label, benchmark) for label in ("dft", "rft"))
        shown = row(pairwise, label="dft", against="rft", benchmark=benchmark)
        one, other = ours.mean(axis=0), theirs.mean(axis=0)
        assert shown.correlation == pytest.approx(stats.pearsonr(one, other).statistic)
        chances = [
            np.mean([(a > b) + (a == b) / 2 for a in ours[:, i] for b in theirs[:, i]])
            for i in range(ours.shape[1])
        ]
        improvement = 100 * np.mean(chances)
        assert shown.probability_of_improvement_percent == pytest.approx(improvement)
        flipped = sign_flipped_means((one - other)[None], benchmark)[:, 0]
        expected = permutation_p_value(float((one - other).mean()), flipped)
        assert shown.sign_flip_p_value == pytest.approx(expected)
        boot = paired_bootstrap({benchmark: ours}, {benchmark: theirs})
        assert shown.bootstrap_low_points == pytest.approx(100 * boot.low, abs=1.5)
        assert shown.bootstrap_high_points == pytest.approx(100 * boot.high, abs=1.5)
    macro = row(pairwise, label="dft", against="rft", benchmark="macro")
    singles = pairwise.query("label == 'dft' and against == 'rft' and benchmark != 'macro'")
    for name in ("correlation", "probability_of_improvement_percent", "difference_points"):
        assert macro[name] == pytest.approx(singles[name].mean())
    assert pairwise["mcnemar_p_value"].isna().all()


def test_mcnemar_is_there_for_single_answers_of_single_checkpoints():
    found = [
        evaluation("base", None, "easy", 0.4, problems=60, samples=1),
        evaluation("dft", 0, "easy", 0.7, problems=60, samples=1),
    ]
    shown = row(compare(found).pairwise, label="dft", benchmark="easy")
    first, second = shown.wins, shown.losses
    assert first + second < 60
    expected = stats.binomtest(first, first + second).pvalue
    assert shown.mcnemar_p_value == pytest.approx(expected)


def test_the_interquartile_mean_is_scipys_within_its_interval():
    found = evaluations()
    compared = compare(found)
    values = [
        100 * stats.trim_mean(table_of(found, "dft", benchmark), 0.25, axis=None)
        for benchmark in ("easy", "hard")
    ]
    for benchmark, expected in (("easy", values[0]), ("macro", np.mean(values))):
        shown = row(compared.comparison, label="dft", benchmark=benchmark)
        assert shown.iqm_percent == pytest.approx(expected)
        assert shown.iqm_low_percent < shown.iqm_percent < shown.iqm_high_percent


@pytest.mark.parametrize("table", ["comparison", "pairwise", "seeds", "pass_at_k", "profile"])
def test_a_table_written_as_csv_is_read_back_equal(table, tmp_path):
    compared = compare([*evaluations("m1"), *evaluations("org/m 2")])
    shown = getattr(compared, table)
    shown.to_csv(tmp_path / "table.csv", index=False)
    read = pd.read_csv(tmp_path / "table.csv", dtype=shown.dtypes.to_dict())
    pd.testing.assert_frame_equal(read, shown, check_exact=True)
    assert shown.columns[0] == "model"


def test_two_training_seeds_and_few_problems_are_said_to_be_few():
    two = [e for e in evaluations() if e.training_seed in (None, 0, 1)]
    notes = compare(two).notes
    assert any(note.startswith("Two training seeds only (dft, rft)") for note in notes)
    assert any(note.startswith("easy has 12 problems, fewer than the 30") for note in notes)
    assert any("speak of the checkpoints at hand only" in note for note in notes)


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
    notes = [note for note in compared.notes if note.startswith(f"aime has {problems} problems")]
    assert len(notes) == said
    if said:
        points = compared.pairwise.query("benchmark == 'aime'")["minimum_detectable_points"]
        assert f"{points.min():.1f} to {points.max():.1f} points" in notes[0]


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
    assert "no certainty" in compared.notes[0]


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
        tmp_path, label="dft", training_seed=1, benchmark="tiny", temperature=1.0, top_p=1.0
    )
    for other in (read.grid, grid(rollouts)):
        pd.testing.assert_frame_equal(made.grid, other, check_exact=True, check_dtype=False)


def test_parts_that_are_missing_or_torn_are_named(tmp_path):
    about = {"label": "dft", "training_seed": 1, "benchmark": "tiny", "temperature": 1.0}
    about["top_p"] = 1.0
    with pytest.raises(DataError, match=r"no part-\*.parquet"):
        load_evaluation(tmp_path, **about)
    (tmp_path / "part-00000.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match=r"part-00000.parquet: not a whole part"):
        load_evaluation(tmp_path, **about)
