"""What a command leaves in an object store, a fetch brings, and it takes nothing away."""

import pytest

from data_gen.types import DataError
from offline_rl.artifacts.object_store.run_store import fetch, put_snapshot
from offline_rl.artifacts.object_store.stage_store import StageStore
from offline_rl.artifacts.stage import Stage
from offline_rl.config.dump import dump_several_models
from offline_rl.config.load import load
from offline_rl.config.several_models import SeveralModels
from offline_rl.progress import Silent
from offline_rl.results.find import load_run
from tests.helpers import object_store
from tests.helpers.fault_syscalls import LEAN
from tests.helpers.faults import command
from tests.helpers.object_store import begin, finish

endpoint = object_store.endpoint
address = object_store.address
objects = object_store.objects


def test_a_failure_is_not_handed_on(warm, address, tmp_path):
    settings = [*LEAN, f"store={address}"]
    warm.run(command(tmp_path / "failed", settings), check=3, broken={"spent": "rft"})
    fetch(address, tmp_path / "fetched", progress=Silent())
    assert list(load_run(tmp_path / "fetched").failures) == ["rft, seed 0"]
    warm.run(command(tmp_path / "other", settings))
    assert "rft" in set(load_run(tmp_path / "other").comparison["label"])


def test_a_data_set_alone_is_stored_and_fetched(warm, address, tmp_path):
    data = [one for one in LEAN if one.startswith(("problems", "sampl", "verifier"))]
    settings = [
        "generate",
        "--model",
        "tiny",
        "--problems",
        "arithmetic",
        *data,
        f"store={address}",
    ]
    warm.run([*settings, "--out", str(tmp_path / "made")])
    fetch(address, tmp_path / "fetched", progress=Silent())
    inner = "dataset/part-00000.parquet"
    assert (tmp_path / "fetched" / inner).read_bytes() == (tmp_path / "made" / inner).read_bytes()


def test_a_series_is_stored_by_its_labels(warm, address, tmp_path):
    file = tmp_path / "series.yaml"
    file.write_text("name: both\nmodels: {small: tiny, again: {model: tiny, seeds: [1]}}\n")
    settings = [*LEAN, f"store={address}"]
    warm.run(["run", str(file), *settings, "--out", str(tmp_path / "series")])
    fetch(address, tmp_path / "fetched", progress=Silent())
    found = load_run(tmp_path / "fetched").comparison
    assert found.equals(load_run(tmp_path / "series").comparison)
    assert set(found["model"]) == {"small", "again"}


@pytest.mark.parametrize("state", ["finished", "begun", "in the way"])
def test_a_fetch_takes_nothing_away(objects, tmp_path, state):
    put_snapshot(StageStore(objects), finish(tmp_path / "stored", "text").folder.parent)
    mine = Stage(tmp_path / "mine" / "rollouts", {"seed": 2})
    if state == "in the way":
        mine.folder.mkdir(parents=True)
        (mine.folder / "part.txt").write_text("mine")
    elif state == "finished":
        finish(tmp_path / "mine", "mine", {"seed": 2})
    else:
        begin(mine, "mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(DataError, match="another folder"):
        fetch(objects.address, tmp_path / "mine", progress=Silent())
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    after.pop(tmp_path / "mine" / ".lock")
    assert after == before


def test_a_smaller_command_leaves_the_whole_run_the_latest(objects, tmp_path):
    for inputs in ({"seed": 1}, {"seed": 2}):
        finish(tmp_path / "run", "text", inputs)
        store = StageStore(objects)
        with Stage(tmp_path / "run" / "dataset", inputs).work() as folder:
            (folder / "part.txt").write_text("more")
        put_snapshot(store, tmp_path / "run")
    fetch(objects.address, tmp_path / "fetched", progress=Silent())
    assert Stage(tmp_path / "fetched" / "rollouts", {"seed": 2}).finished()
    assert Stage(tmp_path / "fetched" / "dataset", {"seed": 2}).finished()


def test_a_store_of_a_series_reads_back_from_its_settings(tmp_path):
    file = tmp_path / "series.yaml"
    file.write_text(
        "name: both\nstore: s3://runs/both/\nmodels: {a: tiny, b: {model: tiny, seeds: [1]}}\n"
        "problems: arithmetic-train\nmethods: {rft: {}}\n"
        "evaluation: {benchmarks: {near: arithmetic-test}}\n"
    )
    series = load(file, [], SeveralModels)
    assert [one.store for one in series.experiments.values()] == [
        "s3://runs/both/a",
        "s3://runs/both/b",
    ]
    file.write_text(dump_several_models(series))
    assert load(file, [], SeveralModels) == series
