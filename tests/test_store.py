"""Finished stages in an object store: whole or absent, never replaced, taken on another machine.

The store is a local server that speaks S3 and holds to If-None-Match.
"""

import json
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from moto.server import ThreadedMotoServer

from data_gen.types import DataError
from offline_rl.progress import Silent
from offline_rl.reports import load_run
from offline_rl.sealing import sealed, unsealed
from offline_rl.series import dump_series, load_settings
from offline_rl.stages import Stage
from offline_rl.storing.objects import Objects
from offline_rl.storing.snapshots import fetch, put_snapshot
from offline_rl.storing.stages import StageStore, content_of
from tests.fault_parts import Warm, command, held
from tests.fault_traces import LEAN

SECRET = "a-planted-secret-key-of-the-store"
TWO = [*LEAN, "methods={rft: {}, dft: {}}", "problems.limit=40"]


@pytest.fixture(scope="module")
def endpoint():
    """A store with one bucket, and an environment that leads every process to it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "somebody")
        environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        # No settings of whoever runs the tests.
        environment.setenv("AWS_CONFIG_FILE", "/dev/null")
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        Objects("s3://runs")._files.mkdir("runs")
        yield
    server.stop()


@pytest.fixture
def address(endpoint, request):
    return f"s3://runs/{abs(hash(request.node.name)):x}"


@pytest.fixture
def objects(address):
    return Objects(address)


@pytest.fixture(scope="module")
def warm(endpoint):
    with Warm() as process:
        yield process


@pytest.fixture(scope="module")
def stored(warm, tmp_path_factory):
    """A finished run, and where it is stored."""
    folder, address = tmp_path_factory.mktemp("stored") / "whole", "s3://runs/whole"
    warm.run(command(folder, [*TWO, f"store={address}"]))
    return folder, address


def names(address):
    """Of every object below an address."""
    root = address.removeprefix("s3://")
    return sorted(found.removeprefix(f"{root}/") for found in Objects(address)._files.find(root))


def accuracies(comparison, benchmark):
    rows = comparison[comparison["benchmark"] == benchmark]
    return dict(zip(rows["label"], rows["avg_at_k_percent"], strict=True))


def finish(folder, content, inputs=None):
    stage = Stage(folder / "stage", inputs or {"seed": 1})
    with stage.work() as at_work:
        (at_work / "part.txt").write_text(content)
        (at_work / "inner").mkdir()
        (at_work / "inner" / "more.txt").write_text(content[::-1])
    return stage


def check_whole(address):
    """Every manifest in the store finds all of its files as it lists them; their number."""
    objects, checked = Objects(address), 0
    for name in names(address):
        if name.endswith("/stage.json"):
            place = name.removesuffix("/stage.json")
            manifest = unsealed(objects.read(name))
            assert content_of(manifest) == place.rpartition("/")[2]
            for file, about in manifest["files"].items():
                assert len(objects.read(f"{place}/{file}")) == about["bytes"], (place, file)
            checked += 1
    return checked


def test_an_object_is_created_by_one_of_many(objects):
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda n: objects.create("one", str(n)), range(16)))
    assert sum(won) == 1
    assert objects.read("one") == str(won.index(True)).encode()
    objects.write("one", "anew")
    assert objects.read("one") == b"anew"
    assert objects.read("none") is None


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
            try_to_end = moments.uniform(0.3, 2.5)
            killed += _killed_after(started, try_to_end)
            check_whole(address)
        code, said = started.wait()
        if code >= 0:
            assert code == 0, said
            break
    assert killed >= 1
    assert held(folder) == held(stored[0])


def _killed_after(started, seconds):
    time.sleep(seconds)
    return started.kill()


def test_a_failure_is_not_handed_on(warm, address, tmp_path):
    settings = [*LEAN, f"store={address}"]
    warm.run(command(tmp_path / "failed", settings), check=3, broken={"spent": "rft"})
    fetch(address, tmp_path / "fetched", progress=Silent())
    assert list(load_run(tmp_path / "fetched").failures) == ["rft, seed 0"]
    warm.run(command(tmp_path / "other", settings))
    assert "rft" in set(load_run(tmp_path / "other").comparison["label"])


def test_a_fetched_run_is_the_run(warm, stored, tmp_path):
    folder, address = stored
    # Whoever ended last is the latest.
    warm.run(command(folder, [*TWO, f"store={address}"]))
    other = tmp_path / "fetched"
    warm.run(["fetch", address, "--out", str(other)])
    for name in ("experiment.yaml", "environment.json", "report/index.html"):
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
    with pytest.raises(DataError, match="s3://runs/nothing: no run is stored here"):
        fetch("s3://runs/nothing", tmp_path / "none", progress=Silent())


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


def test_what_is_first_is_taken_and_nothing_is_replaced(objects, tmp_path):
    """Two machines whose results differ, as on GPUs, for the same settings."""
    mine, other = (finish(tmp_path / name, name * 9) for name in ("mine", "other"))
    StageStore(objects).put(mine, "stage")
    before = names(objects.address)
    later = StageStore(objects)
    later.put(other, "stage")
    assert set(before) < set(names(objects.address))
    taken = Stage(tmp_path / "third", {"seed": 1})
    assert StageStore(objects).take(taken, "stage")
    assert taken.digest() == mine.digest() != other.digest()
    assert taken.why_not_finished() is None
    # The run of the other machine is whole all the same.
    (tmp_path / "other" / "experiment.yaml").write_text("name: other\n")
    put_snapshot(objects, tmp_path / "other", later.places)
    fetch(objects.address, tmp_path / "fetched", progress=Silent())
    assert Stage(tmp_path / "fetched" / "stage", {"seed": 1}).digest() == other.digest()


def test_machines_that_put_at_the_same_time_never_mix(objects, tmp_path):
    stages = [finish(tmp_path / str(n), f"{n}" * 40) for n in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda stage: StageStore(objects).put(stage, "stage"), stages))
    assert check_whole(objects.address) == 8
    taken = Stage(tmp_path / "taken", {"seed": 1})
    assert StageStore(objects).take(taken, "stage")
    assert taken.digest() in {stage.digest() for stage in stages}


def test_other_inputs_are_another_stage(objects, tmp_path):
    StageStore(objects).put(finish(tmp_path, "text"), "stage")
    assert not StageStore(objects).take(Stage(tmp_path / "new", {"seed": 2}), "stage")
    assert not StageStore(objects).take(Stage(tmp_path / "new", {"seed": 1}), "elsewhere")


def test_no_damage_in_the_store_is_used(objects, tmp_path):
    store, chance = StageStore(objects), random.Random(1)
    store.put(finish(tmp_path / "whole", "text" * 50), "stage")
    put_snapshot(objects, tmp_path / "whole", store.places)
    for name in names(objects.address):
        content = objects.read(name)
        for harmed in (*_cut(content, chance, 2), *_flipped(content, chance, 2), None):
            if harmed is None:
                objects._files.rm_file(f"{objects.address}/{name}")
            else:
                objects._files.pipe_file(f"{objects.address}/{name}", harmed)
            taken = Stage(tmp_path / "taken", {"seed": 1})
            if name.startswith("stage/"):
                # Without a pointer there is nothing; all else is damage, and named.
                if harmed is None and name.endswith("first.json"):
                    assert not StageStore(objects).take(taken, "stage")
                else:
                    with pytest.raises(DataError, match=objects.address):
                        StageStore(objects).take(taken, "stage")
            assert not taken.finished()
            # Which was there first is nothing to a fetch.
            if not name.endswith("first.json"):
                with pytest.raises(DataError, match=objects.address):
                    fetch(objects.address, tmp_path / "fetched", progress=Silent())
            shutil.rmtree(tmp_path / "fetched", ignore_errors=True)
        objects._files.pipe_file(f"{objects.address}/{name}", content)
    assert store.take(Stage(tmp_path / "taken", {"seed": 1}), "stage")


def _cut(content, chance, times):
    return [content[: chance.randrange(len(content))] for _ in range(times)]


def _flipped(content, chance, times):
    for _ in range(times):
        at = chance.randrange(len(content))
        yield content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]


@pytest.mark.parametrize("name", ["../out", "/nowhere/out", "a/../../out", "..\\out", ""])
@pytest.mark.parametrize("where", ["file", "stage", "run"])
def test_names_from_the_store_never_leave_the_folder(objects, tmp_path, name, where):
    stage = finish(tmp_path / "mine", "text")
    manifest = {"inputs": {"stages": {}, "runs": []}, "files": {}}
    if where == "file":
        manifest["files"] = {name: {"bytes": 1, "sha256": "0" * 64}}
    elif where == "stage":
        store = StageStore(objects)
        store.put(stage, "stage")
        manifest["inputs"]["stages"] = {name: store.places["stage"]}
    else:
        manifest["inputs"]["runs"] = [name]
    content = content_of(manifest)
    objects.write(f"run/{content}/stage.json", sealed(manifest))
    objects.write("run.json", sealed({"content": content}))
    with pytest.raises(DataError, match="no name of a file"):
        fetch(objects.address, tmp_path / "inner" / "fetched", progress=Silent())
    assert not [path for path in tmp_path.rglob("*") if "out" in path.name]


@pytest.mark.parametrize(
    ("store", "named"),
    [
        ("s3://no-such-bucket/run", "s3://no-such-bucket/run"),
        ("s3://user:password@runs/run", "store"),
        ("gs://runs/run", "store"),
        ("s3://runs/../run", "store"),
    ],
)
def test_a_store_that_cannot_be_used_is_told_before_anything_is_sampled(
    warm, tmp_path, store, named
):
    said = warm.run(command(tmp_path / "run", [*LEAN, f"store={json.dumps(store)}"]), check=1)
    assert named in said
    assert "engine:" not in said
    assert SECRET not in said
    assert not list(tmp_path.rglob("part-*"))


def test_the_secret_of_a_store_is_nowhere(stored):
    folder, address = stored
    objects = Objects(address)
    assert not [p for p in folder.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]
    assert not [name for name in names(address) if SECRET.encode() in objects.read(name)]


def test_a_store_of_a_series_reads_back_from_its_settings(tmp_path):
    file = tmp_path / "series.yaml"
    file.write_text(
        "name: both\nstore: s3://runs/both/\nmodels: {a: tiny, b: {model: tiny, seeds: [1]}}\n"
        "problems: arithmetic-train\nmethods: {rft: {}}\n"
        "evaluation: {benchmarks: {near: arithmetic-test}}\n"
    )
    series = load_settings(file, [])
    assert [one.store for one in series.experiments.values()] == [
        "s3://runs/both/a",
        "s3://runs/both/b",
    ]
    file.write_text(dump_series(series))
    assert load_settings(file, []) == series


def test_a_store_that_replaces_what_it_must_not_is_refused(objects, monkeypatch):
    put = objects._files.pipe_file
    # The header is ignored, as older servers do.
    monkeypatch.setattr(objects._files, "pipe_file", lambda path, text, mode="": put(path, text))
    with pytest.raises(DataError, match="If-None-Match"):
        objects.check()
