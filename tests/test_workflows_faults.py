"""Killed, refused by the disk, damaged, or beside others: a run loses nothing and says what is.

A few of each kind; `make soak` runs the long forms in tests/soak.
"""

import json
import re
import shutil
import subprocess
from random import Random

import pytest

from offline_rl.artifacts import records
from offline_rl.artifacts.checksums import DamagedArtifact, checksummed_text
from offline_rl.artifacts.records import (
    ChecksummedRecord,
    EvaluatedLabels,
    EvaluationInfo,
    TrainingFailure,
)
from tests.helpers import fault_concurrency, fault_damage, fault_syscalls, faults
from tests.helpers.faults import command, held


@pytest.fixture(scope="module")
def lean(warm, tmp_path_factory):
    """A folder with a finished run and one that was begun, and the table of the first."""
    scratch = tmp_path_factory.mktemp("lean")
    warm.run(command(scratch / "whole", fault_syscalls.LEAN))
    fault_syscalls.begin(warm, scratch)
    return scratch, held(scratch / "whole")


@pytest.fixture(scope="module")
def swept(warm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept") / "whole"
    warm.run(command(folder, faults.SWEPT))
    return folder


@pytest.fixture(scope="module")
def calls(warm, lean):
    reason = fault_syscalls.why_not()
    if reason is not None:
        pytest.skip(reason)
    return fault_syscalls.calls_of_a_run(warm, lean[0])


def test_kills_at_random_moments_change_no_byte_and_redo_nothing(warm, lean, tmp_path):
    told = {"kills": 5, "seconds": 1.0, "seed": 0, "settings": fault_syscalls.LEAN}
    assert faults.kill_at_random(warm, tmp_path, lean[1], **told) >= 1


def test_a_kill_at_a_system_call_changes_no_byte(warm, lean, calls):
    scratch, reference = lean
    for call, number in Random(0).sample(calls[:200], 2):
        assert fault_syscalls.kill_at(warm, scratch, reference, call, number)


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(
    ("call", "number", "error"),
    [
        ("write", 1, "ENOSPC"),
        ("write", 5, "ENOSPC"),
        ("writev", 9, "ENOSPC"),
        ("fsync", 12, "EIO"),
        ("rename", 7, "EIO"),
    ],
)
def test_an_error_of_the_disk_names_a_path_and_keeps_what_was_there(
    call, number, error, warm, lean
):
    assert fault_syscalls.refuse_at(warm, *lean, call, number, error)


def test_a_full_disk_names_a_path_and_is_gone_on_with(warm, lean, tmp_path):
    disk = tmp_path / "disk"
    if not fault_syscalls.mounted(disk, megabytes=16):
        pytest.skip("no small file system can be mounted here: that needs root")
    try:
        fault_syscalls.fill_a_small_disk(warm, disk, lean[1], room_bytes=200_000)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_every_stage_tells_which_of_its_files_is_damaged(swept, tmp_path):
    copy = shutil.copytree(swept, tmp_path / "copy")
    for kind in fault_damage.KINDS:
        fault_damage.check_stage(copy, kind, cuts=3, flips=3, seed=0)


def test_a_report_names_the_damage_and_uses_none_of_it(swept, tmp_path):
    copy = shutil.copytree(swept, tmp_path / "copy")
    for kind, read in fault_damage.KINDS.items():
        if read and "part" not in kind:
            fault_damage.check_report(copy, kind, cuts=0, flips=1, seed=0)


# Those of data have tests of their own in test_artifacts_records.py.
KINDS = [
    one
    for one in vars(records).values()
    if isinstance(one, type) and "FILE" in vars(one) and one.FILE not in ("summary.json",)
    if one is not records.RolloutsAbout
]


# What this run has no file of.
ABSENT = {
    TrainingFailure: {"reason": "the loss is nan", "code": {}},
    EvaluatedLabels: {"labels": {}},
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_record_of_another_version_is_refused_by_its_file_and_field(kind, swept):
    path = next((path for path in swept.rglob(kind.FILE) if fits(kind, path)), None)
    if path is None:
        value = ABSENT[kind]
    else:
        value = json.loads(path.read_bytes())
        value.pop("sha256", None)

    def refusal(changed):
        text = (
            checksummed_text(changed)
            if issubclass(kind, ChecksummedRecord)
            else json.dumps(changed)
        )
        with pytest.raises(DamagedArtifact) as refused:
            kind.parse(text.encode(), "run/file.json")
        return str(refused.value)

    for name, field in kind.model_fields.items():
        other = [] if isinstance(value[name], dict | str) else {"other": "kind"}
        assert re.match(
            rf"run/file.json: {name}[.:].*(Input should|Field required)",
            refusal({**value, name: other}),
        )
        if field.is_required():
            left = {key: one for key, one in value.items() if key != name}
            assert refusal(left).startswith(f"run/file.json: {name}: Field required")
    assert refusal({**value, "later": 1}).startswith("run/file.json: later: Extra inputs")
    assert kind.parse(kind.model_validate(value, strict=False).text().encode(), path)


def fits(kind, path):
    """Whether the file is of this kind: about.json is of data, or of an evaluation."""
    return kind is not EvaluationInfo or "evaluations" in path.parts


@pytest.mark.parametrize("kind", ["rollouts/about.json", "models/rft/seed-0/model.safetensors"])
def test_a_run_makes_what_is_damaged_again(kind, warm, swept, tmp_path):
    copy = shutil.copytree(swept, tmp_path / "copy")
    fault_damage.check_run(warm, copy, held(swept), kind, cuts=0, flips=1, seed=0)


@pytest.mark.parametrize("name", ["part-00000.parquet", "engine.json", "inputs.json"])
def test_a_damaged_stage_at_work_is_refused_or_begun_again(name, warm, swept, tmp_path):
    told = {"cuts": 0, "flips": 1, "seed": 0}
    fault_damage.check_partial(warm, swept, tmp_path, held(swept), "rollouts", name, **told)


def test_a_training_goes_on_from_no_damaged_checkpoint(warm, tmp_path):
    warm.run(command(tmp_path / "whole", fault_damage.LONG))
    checkpoints = fault_damage.killed_in_training(warm, tmp_path / "killed")
    assert fault_damage.check_checkpoint(checkpoints, tmp_path, cuts=1, flips=2, seed=0) > 20
    told = (warm, tmp_path / "killed", tmp_path, tmp_path / "whole")
    fault_damage.check_training(*told, seed=0)


@pytest.mark.parametrize("count", [2, 4])
def test_one_of_several_processes_works_and_the_others_name_it(count, warm, lean, tmp_path):
    fault_concurrency.compete(warm, tmp_path / "run", lean[1], count)


def test_methods_that_fail_leave_holes_with_reasons(warm, tmp_path):
    fault_concurrency.fail_in_four_ways(warm, tmp_path / "run")


def test_mutated_settings_are_refused_by_their_path(tmp_path):
    refused, _ = fault_concurrency.refuse_settings(tmp_path, 100, seed=0)
    assert refused > 50


def test_a_folder_that_cannot_be_written_is_told_in_a_line(warm, lean, tmp_path):
    fault_concurrency.read_only(warm, tmp_path / "run", lean[0] / "whole", lean[1])


def test_a_folder_may_move_to_any_path(warm, lean, tmp_path):
    scratch, reference = lean
    fault_concurrency.moved(warm, scratch / "whole", scratch / "begun", tmp_path, reference)


def test_a_clock_that_jumps_changes_nothing(warm, lean, tmp_path):
    fault_concurrency.clock_jumps(warm, tmp_path / "run", lean[1])
