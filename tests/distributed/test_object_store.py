"""Finished stages in an object store: whole or absent, never replaced, taken on another machine."""

import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from data_gen.types import DataError
from offline_rl.artifacts.object_store.objects import Objects
from offline_rl.artifacts.object_store.run_store import fetch, put_snapshot
from offline_rl.artifacts.object_store.stage_store import StageStore
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.artifacts.stage import Stage
from offline_rl.progress import Silent
from offline_rl.results.find import load_run
from tests.helpers import object_store
from tests.helpers.fault_syscalls import LEAN
from tests.helpers.faults import command, held
from tests.helpers.object_store import SECRET, check_whole, finish, names

endpoint = object_store.endpoint
address = object_store.address
objects = object_store.objects

TWO = [*LEAN, "methods={rft: {}, dft: {}}", "problems.limit=40"]


@pytest.fixture(scope="module")
def stored(warm, endpoint, tmp_path_factory):
    """A finished run, and where it is stored."""
    folder, address = tmp_path_factory.mktemp("stored") / "whole", "s3://runs/whole"
    warm.run(command(folder, [*TWO, f"store={address}"]))
    return folder, address


def accuracies(comparison, benchmark):
    rows = comparison[comparison["benchmark"] == benchmark]
    return dict(zip(rows["label"], rows["avg_at_k_percent"], strict=True))


def test_a_run_goes_on_elsewhere_from_what_is_stored(warm, stored, tmp_path):
    folder, address = stored
    # Whatever were trained again would fail.
    said = warm.run(
        command(tmp_path / "other", [*TWO, f"store={address}"]),
        broken={"spent": "rft", "divergent": "dft"},
    )
    assert held(tmp_path / "other") == held(folder)
    assert f"rollouts: taken from {address}" in said.replace("\n", " ").replace("  ", " ")
    assert "engine:" not in said
    assert check_whole(address) >= 7


def test_weights_stay_where_they_were_trained(stored):
    folder, address = stored
    assert list(folder.glob("models/*/*/*.safetensors"))
    assert not [name for name in names(address) if name.endswith(".safetensors")]


def test_stored_weights_spare_a_lost_machine_s_training(warm, stored, address, tmp_path):
    settings = [*TWO, f"store={address}", "store_weights=true"]
    warm.run(["train", *command(tmp_path / "lost", settings)[1:]])
    said = warm.run(
        command(tmp_path / "other", settings), broken={"spent": "rft", "divergent": "dft"}
    )
    assert "evaluate rft" in said
    assert held(tmp_path / "other") == held(stored[0])
    # Weights that are no longer kept here are no other stage there.
    warm.run(command(tmp_path / "other", [*settings, "keep=none"]))
    assert check_whole(address)
    fetch(address, tmp_path / "fetched", progress=Silent())
    assert not list((tmp_path / "fetched").rglob("*.safetensors"))
    assert load_run(tmp_path / "fetched").comparison.equals(load_run(stored[0]).comparison)


def test_policies_whose_weights_are_needed_are_trained_again(warm, stored, tmp_path):
    folder, address = stored
    more = "evaluation.benchmarks.far={source: arithmetic, split: validation, limit: 4}"
    said = warm.run(command(tmp_path / "more", [*TWO, more, f"store={address}"]))
    assert "its weights were not kept and are needed" in " ".join(said.split())
    grown, before = load_run(tmp_path / "more").comparison, load_run(folder).comparison
    assert accuracies(grown, "near") == accuracies(before, "near")
    assert accuracies(grown, "far").keys() == {"base", "rft", "dft"}


def test_machines_lost_at_random_moments_change_no_byte(warm, stored, address, tmp_path):
    moments, killed = random.Random(5), 0
    settings = [*TWO, f"store={address}"]
    for number in range(40):
        folder = tmp_path / f"machine-{number}"
        started = warm.start(command(folder, settings))
        if killed < 4:
            killed += _killed_after(started, moments.uniform(0.3, 2.5))
            check_whole(address)
        code, said = started.wait()
        if code >= 0:
            assert code == 0, said
            if killed:
                break
            # On a fast machine it ended before its moment: once more, in another place.
            settings = [*TWO, f"store={address}/{number}"]
    assert killed >= 1
    assert held(folder) == held(stored[0])


def _killed_after(started, seconds):
    time.sleep(seconds)
    return started.kill()


def test_a_fetched_run_is_the_run(warm, stored, tmp_path):
    folder, address = stored
    # Whoever ended last is the latest.
    warm.run(command(folder, [*TWO, f"store={address}"]))
    other = tmp_path / "fetched"
    warm.run(["fetch", address, "--out", str(other)])
    for name in ("experiment.yaml", "environment.json", "report/comparison.csv"):
        assert (other / name).read_bytes() == (folder / name).read_bytes()
    assert load_run(other).comparison.equals(load_run(folder).comparison)
    before = {path: path.stat().st_ino for path in other.rglob("stage.json")}
    warm.run(["fetch", address, "--out", str(other)])
    assert {path: path.stat().st_ino for path in other.rglob("stage.json")} == before
    assert not [path for path in other.rglob(".*") if path.name != ".lock"]
    # It goes on as any other: nothing is left to do.
    said = warm.run(["run", str(other / "experiment.yaml"), "--out", str(other)])
    assert "engine:" not in said
    assert held(other) == held(folder)


def test_a_fetch_spares_a_run_with_other_settings(warm, stored, tmp_path):
    (tmp_path / "experiment.yaml").write_text("name: mine\n")
    with pytest.raises(DataError, match="other settings"):
        fetch(stored[1], tmp_path, progress=Silent())
    assert (tmp_path / "experiment.yaml").read_text() == "name: mine\n"
    with pytest.raises(DataError, match="s3://runs/nothing: no run has ended here"):
        fetch("s3://runs/nothing", tmp_path / "none", progress=Silent())


def test_what_is_first_is_taken_and_nothing_is_replaced(objects, tmp_path):
    """Two machines whose results differ, as on GPUs, for the same settings."""
    mine, other = (finish(tmp_path / name, name * 9) for name in ("mine", "other"))
    StageStore(objects).put(mine, "rollouts")
    before = {name: objects.read(name) for name in names(objects.address)}
    later = StageStore(objects)
    later.put(other, "rollouts")
    assert before.items() < {name: objects.read(name) for name in names(objects.address)}.items()
    taken = Stage(tmp_path / "third", {"seed": 1})
    assert StageStore(objects).take(taken, "rollouts")
    assert taken.published.digest() == mine.published.digest() != other.published.digest()
    assert taken.why_not_finished() is None
    # The run of the other machine is whole all the same.
    put_snapshot(later, tmp_path / "other")
    fetch(objects.address, tmp_path / "fetched", progress=Silent())
    assert PublishedStage(tmp_path / "fetched" / "rollouts").digest() == other.published.digest()


def test_machines_that_put_at_the_same_time_never_mix(objects, tmp_path):
    stages = [finish(tmp_path / str(n), f"{n}" * 40) for n in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda stage: StageStore(objects).put(stage, "rollouts"), stages))
    assert check_whole(objects.address) == 8
    taken = Stage(tmp_path / "taken", {"seed": 1})
    assert StageStore(objects).take(taken, "rollouts")
    assert taken.published.digest() in {stage.published.digest() for stage in stages}


def test_other_inputs_are_another_stage(objects, tmp_path):
    StageStore(objects).put(finish(tmp_path, "text"), "rollouts")
    assert not StageStore(objects).take(Stage(tmp_path / "new", {"seed": 2}), "rollouts")
    assert not StageStore(objects).take(Stage(tmp_path / "new", {"seed": 1}), "dataset")


class Failing(Objects):
    """A store that is gone from its N-th put on."""

    def __init__(self, address, number):
        super().__init__(address)
        self.left = number

    def _count(self):
        self.left -= 1
        if self.left < 0:
            raise OSError("the line is dead")

    def write(self, name, content):
        self._count()
        super().write(name, content)

    def create(self, name, content):
        self._count()
        return super().create(name, content)

    def send(self, path, name):
        self._count()
        super().send(path, name)


def test_a_store_that_is_gone_in_the_middle_holds_all_of_a_stage_or_nothing(address, tmp_path):
    stage = finish(tmp_path, "text")
    (tmp_path / "experiment.yaml").write_text("name: mine\n")
    for number in range(20):
        failing = Failing(f"{address}/{number}", number)
        try:
            put_snapshot(StageStore(failing), tmp_path)
        except OSError:
            ended = False
        else:
            ended = True
        whole = check_whole(failing.address)
        taken = StageStore(Objects(failing.address)).take(
            Stage(tmp_path / "t", {"seed": 1}), "rollouts"
        )
        assert whole >= taken
        if taken:
            assert PublishedStage(tmp_path / "t").digest() == stage.published.digest()
            shutil.rmtree(tmp_path / "t")
        if ended:
            break
        with pytest.raises(DataError, match="no run has ended here"):
            fetch(failing.address, tmp_path / "fetched", progress=Silent())
        # The same again goes on.
        put_snapshot(StageStore(Objects(failing.address)), tmp_path)
        fetch(failing.address, tmp_path / f"fetched-{number}", progress=Silent())
    assert ended
    # Two files, a manifest, who was first; settings, a manifest, the latest.
    assert number == 7


def test_the_secret_of_a_store_is_nowhere(stored):
    folder, address = stored
    objects = Objects(address)
    assert not [p for p in folder.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]
    assert not [name for name in names(address) if SECRET.encode() in objects.read(name)]
