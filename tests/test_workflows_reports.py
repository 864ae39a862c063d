"""Several base models, several runs: each comes to one report on what is whole on disk."""

import shutil
from random import Random
from typing import get_args

import pandas as pd
import pytest

from data_gen.cluster import ClusterError
from data_gen.samplers import EngineError
from data_gen.types import DataError
from eval.notes import NoteKind
from offline_rl import load_run, run
from offline_rl.artifacts.checksums import checksummed_text
from offline_rl.config.load import load, load_experiment
from offline_rl.config.several_models import SeveralModels
from offline_rl.progress import Silent
from offline_rl.report import write_report
from offline_rl.results.find import collect_results
from offline_rl.workflows.evaluate_checkpoints import evaluate_checkpoint
from offline_rl.workflows.reports import compare_runs, report_again
from offline_rl.workflows.several_models import run_several_models
from tests.helpers.several_models import SERIES, alone


def test_models_evaluated_alone_are_joined_with_each_other_and_with_a_run(series, tmp_path):
    near = "evaluation.benchmarks={near: {source: arithmetic, split: test, limit: 6}}"
    evaluate_checkpoint(alone("warm", near), tmp_path / "a")
    cool = "evaluation.sampling.temperature=0.5"
    evaluate_checkpoint(alone("cool", near, cool), tmp_path / "b")
    report = compare_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "ab", formats=("csv",))
    pair = report.pairwise.query("benchmark == 'macro'")
    assert list(zip(pair["label"], pair["against"], strict=True)) == [("cool", "warm")]
    assert any("sampling.temperature 1.0 / 0.5" in note for note in map(str, report.notes))
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


def test_a_data_set_alone_is_no_comparison(tmp_path):
    (tmp_path / "experiment.yaml").write_text("name: data\nmodel: tiny\nrollouts: {path: x}\n")
    with pytest.raises(DataError, match=r"holds a data set and no comparison: `offline-rl show "):
        load_run(tmp_path)


def test_a_folder_without_anything_finished_is_told(tmp_path):
    with pytest.raises(DataError, match=r"no experiment\.yaml"):
        load_run(tmp_path)
    (tmp_path / "evaluation.json").write_text(checksummed_text({"labels": {}}))
    with pytest.raises(DataError, match="no finished evaluation"):
        load_run(tmp_path)
    (tmp_path / "evaluation.json").write_text(checksummed_text({"a": 1}))
    with pytest.raises(DataError, match=r"evaluation\.json: labels: Field required"):
        load_run(tmp_path)
    (tmp_path / "evaluation.json").write_text(checksummed_text({"a": 1}).replace("1", "2", 1))
    with pytest.raises(DataError, match=r"evaluation\.json is damaged"):
        load_run(tmp_path)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    (folder / "both.yaml").write_text(SERIES)
    loaded = load(folder / "both.yaml", [], SeveralModels)
    report = run_several_models(loaded, folder / "run")
    return folder / "run", report


def test_one_experiment_runs_on_several_base_models_and_reports_on_all(series, tmp_path):
    folder, report = series
    assert list(report.comparison["model"].unique()) == ["one", "two"]
    assert set(report.pairwise["model"]) == {"one", "two"}
    assert set(report.training["model"]) == set(report.data["model"]) == {"one", "two"}
    assert report.notes
    assert {note.kind for note in report.notes} <= set(get_args(NoteKind))
    for model in ("one", "two"):
        alone = load_run(folder / model).comparison.drop(columns="model")
        rows = report.comparison.query("model == @model").drop(columns="model")
        pd.testing.assert_frame_equal(rows.reset_index(drop=True), alone)
    before = (folder / "report" / "comparison.csv").read_bytes()
    write_report(tmp_path, report_again(folder), ("html",))
    assert (folder / "report" / "comparison.csv").read_bytes() == before
    assert collect_results(folder).name == "both"


def test_a_base_model_that_fails_stands_in_the_report_and_the_others_go_on(series, tmp_path):
    folder, _ = series
    copy = shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "both.yaml").write_text(SERIES)
    lost = ["models.three=/nowhere/model"]
    report = run_several_models(load(tmp_path / "both.yaml", lost, SeveralModels), copy)
    assert "three" in report.failures
    assert list(report.comparison["model"].unique()) == ["one", "two"]
    missing = [note.text for note in load_run(copy).notes if note.kind == "missing"]
    assert any("Nothing of three is finished" in text for text in missing)
    none = load(tmp_path / "both.yaml", ["models={three: /nowhere/model}"], SeveralModels)
    with pytest.raises((DataError, EngineError)):
        run_several_models(none, tmp_path / "none")


def test_a_lost_cluster_is_no_base_models_fault(tmp_path):
    (tmp_path / "both.yaml").write_text(SERIES)
    nowhere = load(tmp_path / "both.yaml", ["cluster={address: '127.0.0.1:1'}"], SeveralModels)
    with pytest.raises(ClusterError, match=r"no Ray cluster at '127\.0\.0\.1:1'"):
        run_several_models(nowhere, tmp_path / "run")
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
                missing = [note.text for note in report.notes if note.kind == "missing"]
                assert any("damaged" in text and path.name in text for text in missing)
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
