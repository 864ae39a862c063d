"""A manifest that somebody planted in an object store leads out of no folder."""

import pytest

from data_gen.types import DataError
from offline_rl.artifacts.checksums import checksummed_text
from offline_rl.artifacts.object_store.read_stored import content_of
from offline_rl.artifacts.object_store.run_store import fetch
from offline_rl.artifacts.object_store.stage_store import StageStore
from offline_rl.artifacts.stage import Stage
from offline_rl.progress import Silent
from tests.helpers import object_store
from tests.helpers.object_store import finish

endpoint = object_store.endpoint
address = object_store.address
objects = object_store.objects

ONE = {"format": 1, "inputs": {"seed": 1}}
FILE = {"bytes": 1, "sha256": "0" * 64}
OUTSIDE = ["../out", "/nowhere/out", "a/../../out", "..\\out", "", ".", "a//out", "\x1bout"]


@pytest.mark.parametrize("name", [*OUTSIDE, "\ud800", ".lock", "models/rft/seed-0/out", "out"])
@pytest.mark.parametrize("where", ["files", "stages", "places", "runs"])
def test_a_name_from_the_store_is_a_run_s_or_refused(objects, tmp_path, name, where):
    place = StageStore(objects).put(finish(tmp_path / "mine", "text"), "rollouts")
    manifest = {"inputs": {"stages": {}, "runs": []}, "files": {}}
    if where == "files":
        manifest["files"] = {name: FILE}
    elif where == "stages":
        manifest["inputs"]["stages"] = {name: place}
    elif where == "places":
        manifest["inputs"]["stages"] = {"rollouts": name}
    else:
        manifest["inputs"]["runs"] = [name]
    plant(objects, "run", manifest)
    with pytest.raises(DataError, match="s3://"):
        fetch(objects.address, tmp_path / "inner" / "fetched", progress=Silent())
    assert not [path for path in tmp_path.rglob("*") if "out" in path.name.removeprefix("rollouts")]


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        ONE,
        {**ONE, "files": []},
        {**ONE, "files": {"part.txt": "text"}},
        {**ONE, "files": {"part.txt": {"sha256": "0" * 64}}},
        {"inputs": {"seed": 1}, "files": {}},
        {"format": 0, "inputs": {"seed": 1}, "files": {}},
        {**ONE, "files": {}, "dropped": []},
        {**ONE, "files": {}, "dropped": {"model.safetensors": 1}},
        {"format": 1, "inputs": [], "files": {}},
        *({**ONE, "files": {n: FILE}} for n in (*OUTSIDE, "stage.json", ".x")),
    ],
)
def test_a_stage_of_another_shape_is_refused(objects, tmp_path, manifest):
    key = StageStore(objects).put(finish(tmp_path / "mine", "text"), "rollouts").rpartition("/")[0]
    plant(objects, key, manifest, pointer=f"{key}/first.json")
    taken = Stage(tmp_path / "taken", {"seed": 1})
    with pytest.raises(DataError, match="s3://"):
        StageStore(objects).take(taken, "rollouts")
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}


@pytest.mark.parametrize(
    "manifest",
    [
        {"inputs": {}, "files": {}},
        {"inputs": {"stages": [], "runs": []}, "files": {}},
        {"inputs": {"stages": {}, "runs": 3}, "files": {}},
        {"inputs": {"stages": {}, "runs": []}, "files": {"experiment.yaml": "text"}},
    ],
)
def test_a_run_of_another_shape_is_refused(objects, tmp_path, manifest):
    plant(objects, "run", manifest)
    with pytest.raises(DataError, match="s3://"):
        fetch(objects.address, tmp_path / "fetched", progress=Silent())


def plant(objects, within, manifest, pointer="run.json"):
    """What somebody who may write to the store could put there."""
    content = content_of(checksummed_text(manifest))
    objects.write(f"{within}/{content}/stage.json", checksummed_text(manifest))
    objects.write(pointer, checksummed_text({"content": content}))
