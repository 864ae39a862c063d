"""Models alone, several base models, several runs: each comes to one report on what is on disk."""

import shlex
import shutil
from random import Random

import pandas as pd
import pytest

from data_gen.cluster import ClusterError
from data_gen.samplers import EngineError
from data_gen.types import DataError
from offline_rl import load_run, run
from offline_rl.progress import Silent
from offline_rl.reports import compare_runs, find, report_again, run_series
from offline_rl.sealing import sealed
from offline_rl.series import Series, dump_series, load_settings
from offline_rl.settings import SettingsError, checked, load_experiment
from offline_rl.standalone import evaluate_alone
from offline_rl.standalone_settings import EvaluationSettings
from offline_rl.tiny_base import TINY_BASE

FEW = {"source": "arithmetic", "split": "test", "limit": 6}


def alone(label, *overrides):
    raw = {
        "name": label,
        "model": "tiny",
        "sampler": "transformers",
        "evaluation": {
            "benchmarks": {"near": dict(FEW), "far": {**FEW, "split": "big"}},
            "sampling": {"samples": 2, "max_tokens": 48},
            "decodings": {},
        },
    }
    return checked(EvaluationSettings, raw, overrides, "")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluations")
    evaluate_alone(alone("warm"), folder)
    evaluate_alone(alone("cool", "evaluation.sampling.temperature=0.5"), folder)
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
    assert "--label warm" in report.command


def test_the_command_of_a_report_evaluates_the_same_again(warm, evaluated, tmp_path):
    [command, _] = load_run(evaluated).command.splitlines()
    words = shlex.split(command)[1:]
    words[words.index("NEW_FOLDER")] = str(tmp_path / "again")
    warm.run(words, scripted=False)
    first = load_run(evaluated).grid().query("label == 'warm'").reset_index(drop=True)
    pd.testing.assert_frame_equal(load_run(tmp_path / "again").grid(), first)


def test_a_model_that_does_not_load_leaves_no_label(evaluated, tmp_path):
    with pytest.raises((DataError, EngineError)):
        evaluate_alone(alone("lost", "model=/nowhere/model"), tmp_path)
    evaluate_alone(alone("warm"), tmp_path)
    report = load_run(tmp_path)
    assert list(report.comparison["label"].unique()) == ["warm"]
    assert list(report.comparison["model"].unique()) == ["tiny"]


def test_models_alone_are_decoded_further_ways_where_the_settings_say_so(tmp_path):
    loaded = alone("tiny", "evaluation.decodings={greedy: {temperature: 0}}")
    report = evaluate_alone(loaded, tmp_path)
    assert list(report.comparison["label"].unique()) == ["tiny", "tiny-greedy"]


def test_models_evaluated_alone_are_joined_with_each_other_and_with_a_run(series, tmp_path):
    near = "evaluation.benchmarks={near: {source: arithmetic, split: test, limit: 6}}"
    evaluate_alone(alone("warm", near), tmp_path / "a")
    cool = "evaluation.sampling.temperature=0.5"
    evaluate_alone(alone("cool", near, cool), tmp_path / "b")
    report = compare_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "ab", formats=("csv",))
    pair = report.pairwise.query("benchmark == 'macro'")
    assert list(zip(pair["label"], pair["against"], strict=True)) == [("cool", "warm")]
    assert any("sampling.temperature 1.0 / 0.5" in note for note in report.notes)
    run_first = compare_runs([series[0] / "one", tmp_path / "b"], tmp_path / "rb", formats=("csv",))
    run_last = compare_runs([tmp_path / "b", series[0] / "one"], tmp_path / "br", formats=("csv",))
    assert set(run_first.comparison["model"]) == {"tiny"}
    by = ["label", "against", "benchmark"]
    pd.testing.assert_frame_equal(
        run_first.pairwise.sort_values(by, ignore_index=True),
        run_last.pairwise.sort_values(by, ignore_index=True),
    )
    primary = run_first.pairwise.query("family == 'primary'")
    assert set(primary["against"]) == {"base"}


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
            evaluate_alone(alone("warm", override), evaluated)
    assert len(load_run(evaluated).samples) == 4


def test_a_finished_benchmark_is_not_asked_again_and_a_new_one_is_added(evaluated):
    part = next(evaluated.glob("evaluations/warm/untrained/near/part-*.parquet"))
    before = part.stat()
    more = alone(
        "warm", "evaluation.benchmarks={long: {source: arithmetic, split: long, limit: 3}}"
    )
    report = evaluate_alone(more, evaluated)
    assert part.stat() == before
    assert set(report.comparison.query("label == 'warm'")["benchmark"]) == {
        *("near", "far", "long", "macro")
    }
    assert any("cool was not evaluated on long" in note for note in report.notes)


def test_a_data_set_alone_is_no_comparison(tmp_path):
    (tmp_path / "experiment.yaml").write_text("name: data\nmodel: tiny\nrollouts: {path: x}\n")
    with pytest.raises(DataError, match=r"holds a data set and no comparison: `offline-rl show "):
        load_run(tmp_path)


def test_a_folder_without_anything_finished_is_told(tmp_path):
    with pytest.raises(DataError, match=r"no experiment\.yaml"):
        load_run(tmp_path)
    (tmp_path / "evaluation.json").write_text(sealed({}))
    with pytest.raises(DataError, match="no finished evaluation"):
        load_run(tmp_path)
    (tmp_path / "evaluation.json").write_text(sealed({"a": 1}))
    with pytest.raises(DataError, match="not the settings of evaluations"):
        load_run(tmp_path)
    (tmp_path / "evaluation.json").write_text(sealed({"a": 1}).replace("1", "2", 1))
    with pytest.raises(DataError, match=r"evaluation\.json is damaged"):
        load_run(tmp_path)


SERIES = f"""
name: both
models:
  one: tiny
  two: {{model: {TINY_BASE}, sampling: {{temperature: 0.8}}}}
sampler: transformers
problems: {{source: arithmetic, split: train, limit: 12}}
sampling: {{samples: 4, max_tokens: 48}}
training: {{steps: 2, examples_per_step: 8}}
methods: {{rft: {{}}}}
behaviour_check: 0
evaluation:
  sampling: {{samples: 2, max_tokens: 48}}
  benchmarks: {{near: {{source: arithmetic, split: test, limit: 6}}}}
  decodings: {{}}
"""


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    (folder / "both.yaml").write_text(SERIES)
    loaded = load_settings(folder / "both.yaml", [])
    report = run_series(loaded, folder / "run")
    return folder / "run", report


def test_one_experiment_runs_on_several_base_models_and_reports_on_all(series):
    folder, report = series
    assert list(report.comparison["model"].unique()) == ["one", "two"]
    assert set(report.pairwise["model"]) == {"one", "two"}
    assert set(report.training["model"]) == set(report.data["model"]) == {"one", "two"}
    for model in ("one", "two"):
        alone = load_run(folder / model).comparison.drop(columns="model")
        rows = report.comparison.query("model == @model").drop(columns="model")
        pd.testing.assert_frame_equal(rows.reset_index(drop=True), alone)
    before = (folder / "report" / "comparison.csv").read_bytes()
    report_again(folder)
    assert (folder / "report" / "comparison.csv").read_bytes() == before
    assert find(folder).name == "both"


def test_a_base_model_that_fails_stands_in_the_report_and_the_others_go_on(series, tmp_path):
    folder, _ = series
    copy = shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "both.yaml").write_text(SERIES)
    lost = ["models.three=/nowhere/model"]
    report = run_series(load_settings(tmp_path / "both.yaml", lost), copy)
    assert "three" in report.failures
    assert list(report.comparison["model"].unique()) == ["one", "two"]
    assert any("Nothing of three is finished" in note for note in load_run(copy).notes)
    none = load_settings(tmp_path / "both.yaml", ["models={three: /nowhere/model}"])
    with pytest.raises((DataError, EngineError)):
        run_series(none, tmp_path / "none")


def test_a_lost_cluster_is_no_base_models_fault(tmp_path):
    (tmp_path / "both.yaml").write_text(SERIES)
    nowhere = load_settings(tmp_path / "both.yaml", ["cluster={address: '127.0.0.1:1'}"])
    with pytest.raises(ClusterError, match=r"no Ray cluster at '127\.0\.0\.1:1'"):
        run_series(nowhere, tmp_path / "run")
    assert not (tmp_path / "run" / "two").exists()


def test_no_report_uses_a_file_that_changed_after_it_was_written(series, tmp_path):
    folder, _ = series
    copy = shutil.copytree(folder / "one", tmp_path / "copy")
    whole = load_run(copy)
    random = Random(0)
    used = [
        *copy.glob("evaluations/*/*/*/part-*.parquet"),
        *copy.glob("models/*/*/training.json"),
        *copy.glob("evaluations/*/*/*/about.json"),
    ]
    assert len(used) == 2 + 1 + 2
    for path in used:
        data = path.read_bytes()
        for _ in range(5):
            at = random.randrange(len(data))
            flipped = data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
            for harm in (flipped, data[:at]):
                path.write_bytes(harm)
                report = load_run(copy)
                assert any("damaged" in note and path.name in note for note in report.notes)
                label = "base" if "base" in path.parts else "rft"
                assert label not in set(report.comparison["label"])
        path.write_bytes(data)
    pd.testing.assert_frame_equal(load_run(copy).comparison, whole.comparison)


def test_a_run_makes_damaged_stages_again_and_weights_only_when_they_are_needed(series, tmp_path):
    folder, _ = series
    copy = shutil.copytree(folder / "one", tmp_path / "copy")
    before = (copy / "report" / "comparison.csv").read_bytes()
    part = next(copy.glob("evaluations/rft/*/*/part-*.parquet"))
    weights = next(copy.glob("models/rft/*/model.safetensors"))
    for path in (part, weights):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    said = []

    class Progress(Silent):
        def say(self, line):
            said.append(line)

    run(load_experiment(copy / "experiment.yaml"), copy, progress=Progress())
    assert any("models/rft/seed-0: trained again, since model.safetensors is" in s for s in said)
    assert any("done again, since part-00000.parquet is damaged" in s for s in said)
    assert (copy / "report" / "comparison.csv").read_bytes() == before


def test_a_model_of_a_series_has_its_own_settings_over_the_common_ones(tmp_path):
    (tmp_path / "both.yaml").write_text(SERIES)
    loaded = load_settings(tmp_path / "both.yaml", ["seeds=[3]"])
    assert isinstance(loaded, Series)
    one, two = loaded.experiments.values()
    assert (one.sampling.temperature, two.sampling.temperature) == (1.0, 0.8)
    assert one.sampling.samples == two.sampling.samples == 4
    assert one.seeds == two.seeds == (3,)
    (tmp_path / "again.yaml").write_text(dump_series(loaded))
    assert load_settings(tmp_path / "again.yaml", []) == loaded


def test_what_takes_one_model_asks_for_one_of_several(tmp_path):
    (tmp_path / "both.yaml").write_text(SERIES)
    with pytest.raises(SettingsError, match="several base models: name one"):
        load_experiment(tmp_path / "both.yaml")
    assert load_experiment(tmp_path / "both.yaml", ["model=tiny"]).model == "tiny"


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("[a/x, b/x]", "models: several are called x"),
        ("[]", "models: neither a list"),
        ("3", "models: neither a list"),
        ("{a: 3}", r"models\.a: neither a model"),
        ("{a/b: tiny}", r"models\.a/b: name: 'a/b' is no label"),
        ("{a: {model: tiny, sedes: [1]}}", r"models\.a: sedes: unknown key \(did you mean seeds"),
    ],
)
def test_a_fault_in_models_is_told_with_its_place(tmp_path, models, said):
    (tmp_path / "both.yaml").write_text(SERIES)
    with pytest.raises(SettingsError, match=said):
        load_settings(tmp_path / "both.yaml", [f"models={models}"])


def test_runs_are_compared_by_the_command_too(warm, series, tmp_path):
    folder, _ = series
    words = ["compare", folder / "one", folder / "two", "--out", tmp_path / "joined"]
    said = warm.run([*words, "--format", "csv,latex", "--reference", "rft@two"])
    table = pd.read_csv(tmp_path / "joined" / "comparison.csv")
    assert {"rft@one", "rft@two"} <= set(table["label"])
    assert set(table["model"]) == {"tiny"}
    assert "sampling.temperature 1.0 / 0.8" in " ".join(said.split())
    assert not (tmp_path / "joined" / "index.html").exists()
    with pytest.raises(DataError, match="there is no label 'x'"):
        compare_runs([folder / "one", folder / "two"], tmp_path, reference="x")
    with pytest.raises(DataError, match="given twice"):
        compare_runs([folder / "one", folder / "one"], tmp_path)
