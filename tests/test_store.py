"""Finished stages in an object store: whole or absent, never replaced, taken on another machine.

The store is a local server that speaks S3 and holds to If-None-Match.
"""

import contextlib
import json
import random
import shutil
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from data_gen.types import DataError
from offline_rl.progress import Silent
from offline_rl.reports import load_run
from offline_rl.sealing import sealed, unsealed
from offline_rl.series import dump_series, load_settings
from offline_rl.stages import Stage
from offline_rl.storing.manifests import content_of
from offline_rl.storing.objects import Objects
from offline_rl.storing.snapshots import fetch, put_snapshot
from offline_rl.storing.stages import StageStore
from tests.fault_parts import command, held
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
        environment.setenv("NO_PROXY", host)
        # No settings of whoever runs the tests.
        environment.setenv("AWS_CONFIG_FILE", "/dev/null")
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        Objects("s3://runs")._files.mkdir("runs")
        yield
    server.stop()


@pytest.fixture
def address(endpoint, request):
    return f"s3://runs/{zlib.crc32(request.node.name.encode()):x}"


@pytest.fixture
def objects(address):
    return Objects(address)


@pytest.fixture(scope="module")
def stored(warm, endpoint, tmp_path_factory):
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
    stage = Stage(folder / "rollouts", inputs or {"seed": 1})
    with stage.work() as at_work:
        (at_work / "part.txt").write_text(content)
        (at_work / "inner").mkdir()
        (at_work / "inner" / "more.txt").write_text(content[::-1])
    return stage


def begin(stage, content):
    """As if killed at work."""
    with contextlib.suppress(RuntimeError), stage.work() as folder:
        (folder / "part.txt").write_text(content)
        raise RuntimeError


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
    StageStore(objects).put(mine, "rollouts")
    before = {name: objects.read(name) for name in names(objects.address)}
    later = StageStore(objects)
    later.put(other, "rollouts")
    assert before.items() < {name: objects.read(name) for name in names(objects.address)}.items()
    taken = Stage(tmp_path / "third", {"seed": 1})
    assert StageStore(objects).take(taken, "rollouts")
    assert taken.digest() == mine.digest() != other.digest()
    assert taken.why_not_finished() is None
    # The run of the other machine is whole all the same.
    put_snapshot(later, tmp_path / "other")
    fetch(objects.address, tmp_path / "fetched", progress=Silent())
    assert Stage(tmp_path / "fetched" / "rollouts", {"seed": 1}).digest() == other.digest()


def test_machines_that_put_at_the_same_time_never_mix(objects, tmp_path):
    stages = [finish(tmp_path / str(n), f"{n}" * 40) for n in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda stage: StageStore(objects).put(stage, "rollouts"), stages))
    assert check_whole(objects.address) == 8
    taken = Stage(tmp_path / "taken", {"seed": 1})
    assert StageStore(objects).take(taken, "rollouts")
    assert taken.digest() in {stage.digest() for stage in stages}


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
            assert Stage(tmp_path / "t", {"seed": 1}).digest() == stage.digest()
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
        {"inputs": {"seed": 1}},
        {"inputs": {"seed": 1}, "files": []},
        {"inputs": {"seed": 1}, "files": {"part.txt": "text"}},
        {"inputs": {"seed": 1}, "files": {"part.txt": {"sha256": "0" * 64}}},
        {"inputs": {"seed": 1}, "files": {}, "dropped": []},
        {"inputs": {"seed": 1}, "files": {}, "dropped": {"model.safetensors": 1}},
        {"inputs": [], "files": {}},
        *({"inputs": {"seed": 1}, "files": {n: FILE}} for n in (*OUTSIDE, "stage.json", ".x")),
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
    content = content_of(manifest)
    objects.write(f"{within}/{content}/stage.json", sealed(manifest))
    objects.write(pointer, sealed({"content": content}))


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


@pytest.fixture
def answering(monkeypatch):
    """A store that answers puts with given statuses, as some do in place of moto's answers."""
    statuses = []

    class Handler(BaseHTTPRequestHandler):
        # Clients wait to be told to go on before they send.
        protocol_version = "HTTP/1.1"

        def do_PUT(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            status, code = statuses.pop(0)
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>" * (status != 200)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        S3FileSystem.clear_instance_cache()
        yield statuses
        server.shutdown()
        thread.join()
        S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(
    ("answers", "created"),
    [
        ([(200, "")], True),
        ([(412, "PreconditionFailed")], False),
        ([(409, "ConditionalRequestConflict"), (200, "")], True),
        ([(409, "OperationAborted"), (412, "PreconditionFailed")], False),
    ],
)
def test_other_stores_say_in_other_ways_that_an_object_is_there(
    endpoint, answering, answers, created
):
    answering.extend(answers)
    assert Objects("s3://runs/other").create("one", "text") is created
    assert answering == []


def test_a_refusal_is_no_sign_that_an_object_is_there(endpoint, answering):
    answering.append((403, "AccessDenied"))
    with pytest.raises(OSError, match="s3://runs/other/one"):
        Objects("s3://runs/other").create("one", "text")


def test_a_run_without_a_store_imports_nothing_of_one():
    script = (
        "import sys, offline_rl.experiment, offline_rl.reports;"
        " sys.exit(not {'s3fs', 'botocore'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-P", "-c", script], check=False).returncode == 0
