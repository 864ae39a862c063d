"""Stages are whole or absent, are skipped when unchanged, and outlive a kill at any moment."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from data_gen.store.atomic_files import sha256
from data_gen.types import DataError
from offline_rl.artifacts.atomic import disk_errors_name
from offline_rl.artifacts.checksums import checksummed_text, parse_checksummed
from offline_rl.artifacts.lock import locked
from offline_rl.artifacts.manifest import MANIFEST
from offline_rl.artifacts.stage import Stage


def fill(stage, text="result"):
    with stage.work() as folder:
        (folder / "inner").mkdir(exist_ok=True)
        (folder / "inner" / "file.txt").write_text(text)
        (folder / "clock.json").write_text(str(time.time()))


def fail_after(stage, name):
    with stage.work() as folder:
        (folder / name).write_text("half of it")
        raise RuntimeError


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path / "models" / "dft", {"lr": 1.0, "deep": {"seed": 0}}, ("clock.json",))


def changed(stage, **inputs):
    return Stage(stage.folder, {**stage.inputs, **inputs}, stage.uncounted)


def test_a_stage_is_finished_once_its_work_has_ended(stage):
    assert stage.why_not_finished() == "not done yet"
    fill(stage)
    assert stage.finished()
    assert (stage.folder / "inner" / "file.txt").read_text() == "result"
    assert not stage.partial.exists()


def test_an_exception_publishes_nothing_and_the_next_work_goes_on(stage):
    with pytest.raises(RuntimeError):
        fail_after(stage, "part")
    assert not stage.folder.exists()
    with stage.work() as folder:
        assert (folder / "part").exists()
    assert stage.finished()


def test_other_inputs_start_from_nothing_and_say_what_changed(stage):
    fill(stage)
    other = changed(stage, deep={"seed": 1})
    assert other.why_not_finished() == "deep.seed has changed from 0 to 1"
    with pytest.raises(RuntimeError):
        fail_after(stage, "part")
    with other.work() as folder:
        assert [path.name for path in folder.iterdir()] == ["inputs.json"]
        assert stage.finished(), "an earlier result stays until the new one is whole"


def test_a_file_that_is_missing_or_cut_is_noticed(stage):
    fill(stage)
    file = stage.folder / "inner" / "file.txt"
    file.write_text("resul")
    assert stage.why_not_finished() == "inner/file.txt has 5 bytes instead of 6"
    file.unlink()
    assert stage.why_not_finished() == "inner/file.txt is missing"


def test_the_digest_follows_the_content_and_not_the_clock(stage):
    fill(stage)
    first = stage.published.digest()
    fill(changed(stage, lr=2.0))
    assert stage.published.digest() == first
    fill(changed(stage, lr=3.0), "other")
    assert stage.published.digest() != first


def test_dropped_files_leave_the_stage_finished_with_its_digest(stage):
    fill(stage)
    first = stage.published.digest()
    stage.published.drop("inner/*.txt")
    assert not (stage.folder / "inner" / "file.txt").exists()
    assert stage.finished()
    assert stage.published.has_dropped()
    assert stage.published.digest() == first


def test_a_manifest_of_another_shape_is_refused_with_its_path_and_field(stage):
    fill(stage)
    manifest = parse_checksummed((stage.folder / MANIFEST).read_bytes())
    manifest["files"]["inner/file.txt"]["bytes"] = -1
    (stage.folder / MANIFEST).write_text(checksummed_text(manifest))
    with pytest.raises(DataError, match=r"stage\.json: files\.inner/file\.txt\.bytes: "):
        stage.finished()


def test_hidden_files_of_the_system_are_not_published_and_odd_names_are_named(stage):
    with stage.work() as folder:
        (folder / "file.txt").write_text("result")
        (folder / ".nfs0001").write_text("")
    assert stage.finished()
    assert set(stage.published.manifest.files) == {"file.txt"}
    with (
        pytest.raises(DataError, match=r"dft\.partial: files\.a"),
        changed(stage, lr=2.0).work() as folder,
    ):
        (folder / "a\\b.txt").write_text("")


def test_a_published_stage_hashes_each_file_once(stage, monkeypatch):
    fill(stage)
    hashed = []
    monkeypatch.setattr(
        "offline_rl.artifacts.published_stage.sha256",
        lambda path: hashed.append(path) or sha256(path),
    )
    published = stage.published
    assert published.damage() is published.damage() is None
    assert published.digest() == published.digest()
    assert sorted(path.name for path in hashed) == ["clock.json", "file.txt"]


@pytest.mark.parametrize("moment", range(3))
def test_a_kill_while_publishing_loses_neither_the_old_nor_the_new(stage, moment, monkeypatch):
    """Stops before the n-th rename or removal of publishing; the next run finds a whole stage."""
    fill(stage, "old")
    new = changed(stage, lr=2.0)
    calls = 0

    class Kill(BaseException):
        pass

    def counted(real):
        def call(*args, **kwargs):
            nonlocal calls
            if new.partial.joinpath(MANIFEST).exists() or calls:
                if calls == moment:
                    raise Kill
                calls += 1
            return real(*args, **kwargs)

        return call

    import offline_rl.artifacts.stage as module

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "replace", counted(os.replace))
        patch.setattr(module, "sync", counted(module.sync))
        with pytest.raises(Kill):
            fill(new, "new")
    new.recover()
    if not new.finished():
        assert stage.finished()
        fill(new, "new")
    assert (stage.folder / "inner" / "file.txt").read_text() == "new"
    assert [path.name for path in stage.folder.parent.iterdir()] == ["dft"]


def test_a_manifest_that_has_changed_is_noticed(stage):
    fill(stage)
    path = stage.folder / MANIFEST
    whole = path.read_text()
    for harm in ("{", whole[:-1], whole.replace("1.0", "1.5"), whole.replace("bytes", "byte")):
        path.write_text(harm)
        assert stage.why_not_finished().startswith("stage.json is damaged")
    path.write_text(whole)
    assert stage.finished()


def test_a_drop_that_was_killed_is_gone_on_with(stage):
    fill(stage)
    first = stage.published.digest()
    file = stage.folder / "inner" / "file.txt"
    content = file.read_bytes()
    stage.published.drop("inner/*.txt")
    file.write_bytes(content)
    stage.published.drop("inner/*.txt")
    assert not file.exists()
    assert stage.finished()
    assert stage.published.digest() == first


def test_what_a_killed_process_was_writing_is_not_published(stage):
    with pytest.raises(RuntimeError):
        fail_after(stage, ".tmpA1b2C3")
    fill(stage)
    assert not list(stage.folder.glob(".*"))


def test_damaged_inputs_of_a_stage_at_work_start_it_from_nothing(stage):
    with pytest.raises(RuntimeError):
        fail_after(stage, "part")
    (stage.partial / "inputs.json").write_bytes(b"\xff{")
    assert stage.conflict() == "inputs.json of dft.partial is damaged"
    fill(stage)
    assert not (stage.folder / "part").exists()


def test_inputs_that_json_cannot_hold_are_refused(stage):
    with pytest.raises(ValueError, match="Out of range float"):
        fill(changed(stage, lr=float("nan")))


def test_a_second_process_is_told_who_is_at_work(tmp_path):
    holder = (
        "import sys, time; from pathlib import Path; from offline_rl.artifacts.lock import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", holder, tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        told = rf"another process .* \(process {process.pid} on "
        with pytest.raises(DataError, match=told), locked(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    with locked(tmp_path):
        holder = json.loads((tmp_path / ".lock").read_text())
    assert holder["pid"] == os.getpid()


def test_a_process_long_gone_is_not_told_as_the_one_at_work(tmp_path):
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    name = json.dumps({"pid": gone.pid, "host": socket.gethostname()})
    (tmp_path / ".lock").write_text(name)
    with (tmp_path / ".lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="has not given its name"), locked(tmp_path):
            pass


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full here")
@pytest.mark.parametrize("numbers", [0, 100_000])
def test_a_full_disk_under_torch_is_an_error_of_the_disk(tmp_path, numbers):
    path = tmp_path / "weights.pt"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"weights\.pt"), disk_errors_name(path):
        torch.save(torch.zeros(numbers), path)
