"""What is damaged in an object store is named, never used, and mended."""

import random
import shutil

import pytest

from data_gen.types import DataError
from offline_rl.artifacts.object_store.objects import Objects
from offline_rl.artifacts.object_store.run_store import fetch, put_snapshot
from offline_rl.artifacts.object_store.stage_store import StageStore
from offline_rl.artifacts.stage import Stage
from offline_rl.progress import Silent
from tests.helpers import object_store
from tests.helpers.fault_syscalls import LEAN
from tests.helpers.faults import command, held
from tests.helpers.object_store import begin, finish, names

endpoint = object_store.endpoint
address = object_store.address
objects = object_store.objects


def harm(objects, name, content):
    if content is None:
        objects._files.rm_file(f"{objects.address}/{name}")
    else:
        objects._files.pipe_file(f"{objects.address}/{name}", content)


def harms(content, chance):
    """It cut, with a bit flipped, and gone."""
    for _ in range(2):
        at = chance.randrange(len(content))
        yield content[:at]
        yield content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]
    yield None


def test_no_damage_in_the_store_is_used(objects, tmp_path):
    chance = random.Random(1)
    stage = finish(tmp_path / "whole", "text" * 50)
    (tmp_path / "whole" / "experiment.yaml").write_text("name: mine\n")
    put_snapshot(StageStore(objects), tmp_path / "whole")
    for name in names(objects.address):
        content = objects.read(name)
        for harmed in harms(content, chance):
            harm(objects, name, harmed)
            first, store = name.endswith("first.json"), StageStore(objects)
            taken = Stage(tmp_path / "taken", {"seed": 1})
            if first and harmed is None:
                assert not store.take(taken, "rollouts")
            elif name.startswith("rollouts"):
                with pytest.raises(DataError, match=objects.address):
                    store.take(taken, "rollouts")
                assert not list(tmp_path.glob("taken*"))
            if not first:
                with pytest.raises(DataError, match=objects.address):
                    fetch(objects.address, tmp_path / "fetched", progress=Silent())
                assert not (tmp_path / "fetched" / "experiment.yaml").exists()
                shutil.rmtree(tmp_path / "fetched", ignore_errors=True)
            if name.startswith("rollouts"):
                # Whoever has it whole mends it.
                store.put(stage, "rollouts")
                assert objects.read(name) == content
            harm(objects, name, content)
    assert StageStore(objects).take(Stage(tmp_path / "taken", {"seed": 1}), "rollouts")


def test_a_run_that_meets_damage_in_the_store_does_the_stage_again_and_mends_it(
    warm, address, tmp_path
):
    settings, objects = [*LEAN, f"store={address}"], Objects(address)
    warm.run(command(tmp_path / "one", settings))
    part = next(n for n in names(address) if n.startswith("rollouts") and n.endswith(".parquet"))
    content = objects.read(part)
    harm(objects, part, content[:-1])
    said = " ".join(warm.run(command(tmp_path / "two", settings)).split())
    assert f"rollouts: done again, since {address}/{part} is damaged" in said
    assert objects.read(part) == content
    assert "rollouts: taken" in " ".join(warm.run(command(tmp_path / "three", settings)).split())
    assert held(tmp_path / "two") == held(tmp_path / "three") == held(tmp_path / "one")


def test_a_damaged_store_costs_no_work_that_was_begun(objects, tmp_path):
    store = StageStore(objects)
    place = store.put(finish(tmp_path, "text"), "rollouts")
    harm(objects, f"{place}/inner/more.txt", None)
    begun = Stage(tmp_path / "other" / "rollouts", {"seed": 1})
    begin(begun, "hours of work")
    with pytest.raises(DataError):
        store.take(begun, "rollouts")
    assert (begun.partial / "part.txt").read_text() == "hours of work"
    assert [path.name for path in begun.folder.parent.iterdir()] == ["rollouts.partial"]
