"""Models evaluated alone into one folder stand beside each other, each label for one way."""

import shlex

import pandas as pd
import pytest

from data_gen.samplers import EngineError
from data_gen.types import DataError
from offline_rl import load_run
from offline_rl.workflows.evaluate_checkpoints import evaluate_checkpoint
from tests.helpers.several_models import alone


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluations")
    evaluate_checkpoint(alone("warm"), folder)
    evaluate_checkpoint(alone("cool", "evaluation.sampling.temperature=0.5"), folder)
    return folder


def test_models_evaluated_into_one_folder_stand_beside_each_other(evaluated):
    report = load_run(evaluated)
    assert list(report.comparison["label"].unique()) == ["warm", "cool"]
    assert set(report.comparison["benchmark"]) == {"near", "far", "macro"}
    pairs = report.pairwise.query("benchmark == 'macro'")
    assert list(zip(pairs["label"], pairs["against"], strict=True)) == [("cool", "warm")]
    assert len(report.grid()) == 2 * 2 * 6 * 2
    written = pd.read_csv(evaluated / "report" / "comparison.csv")
    assert list(written["avg_at_k_percent"]) == list(report.comparison["avg_at_k_percent"])
    assert "--label warm" in report.results.command


def test_the_command_of_a_report_evaluates_the_same_again(warm, evaluated, tmp_path):
    [command, _] = load_run(evaluated).results.command.splitlines()
    words = shlex.split(command)[1:]
    words[words.index("NEW_FOLDER")] = str(tmp_path / "again")
    warm.run(words, scripted=False)
    first = load_run(evaluated).grid().query("label == 'warm'").reset_index(drop=True)
    pd.testing.assert_frame_equal(load_run(tmp_path / "again").grid(), first)


def test_a_model_that_does_not_load_leaves_no_label(evaluated, tmp_path):
    with pytest.raises((DataError, EngineError)):
        evaluate_checkpoint(alone("lost", "model=/nowhere/model"), tmp_path)
    evaluate_checkpoint(alone("warm"), tmp_path)
    report = load_run(tmp_path)
    assert list(report.comparison["label"].unique()) == ["warm"]
    assert list(report.comparison["model"].unique()) == ["tiny"]


def test_models_alone_are_decoded_further_ways_where_the_settings_say_so(tmp_path):
    loaded = alone("tiny", "evaluation.decodings={greedy: {temperature: 0}}")
    report = evaluate_checkpoint(loaded, tmp_path)
    assert list(report.comparison["label"].unique()) == ["tiny", "tiny-greedy"]


def test_two_files_of_one_name_are_told_apart_by_the_user(warm, tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "set.jsonl").write_text('{"problem": "1+1?", "answer": "2"}\n')
    files = f"{tmp_path}/x/set.jsonl,{tmp_path}/y/set.jsonl"
    words = ["evaluate", "--model", "tiny", "--benchmarks", files, "--out", str(tmp_path / "out")]
    assert "two are called set" in warm.run(words, check=1)


def test_a_label_stands_for_one_way_of_evaluating(evaluated):
    for override, said in (
        ("evaluation.sampling.temperature=0.7", r"sampling\.temperature has changed from 1\.0"),
        ("prompt='Solve {problem}'", "prompt has changed from raw to Solve"),
        ("verifier=exact", "verifier"),
        ("evaluation.benchmarks.near.limit=7", "problems has changed"),
        ("evaluation.benchmarks.near.sampling={samples: 3}", r"sampling\.samples has changed"),
    ):
        with pytest.raises(DataError, match=said):
            evaluate_checkpoint(alone("warm", override), evaluated)
    assert len(load_run(evaluated).results.samples) == 4


def test_a_finished_benchmark_is_not_asked_again_and_a_new_one_is_added(evaluated):
    part = next(evaluated.glob("evaluations/warm/untrained/near/part-*.parquet"))
    before = part.stat()
    more = alone(
        "warm", "evaluation.benchmarks={long: {source: arithmetic, split: long, limit: 3}}"
    )
    report = evaluate_checkpoint(more, evaluated)
    assert part.stat() == before
    assert set(report.comparison.query("label == 'warm'")["benchmark"]) == {
        *("near", "far", "long", "macro")
    }
    assert any("cool was not evaluated on long" in note for note in map(str, report.notes))
