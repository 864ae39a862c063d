"""The long forms of tests/test_workflows_faults.py and kills with real vLLM; ends with a summary.

Run: `make soak`, or `python -m tests.soak.run [--only WORD]`. Exit code 1 where one does not hold.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import psutil
import pytest

from data_gen.model_ref import ModelRef
from offline_rl.methods.registry import METHODS
from offline_rl.settings.training import Launch, TrainingSettings
from offline_rl.tiny_base import TINY_BASE
from offline_rl.training.launch import launch_training
from tests.helpers import fault_concurrency, fault_damage, fault_syscalls, faults
from tests.helpers.fault_damage import KINDS, LONG, SWEPT
from tests.helpers.fault_syscalls import LEAN
from tests.helpers.faults import Warm, check_end, command, finished_stages, held
from tests.helpers.training import SELECTION, twelve_problems


class Soak:
    """Forks and folders that the parts share; each part returns what it found in words."""

    def __init__(self, warm, scratch):
        self.warm = warm
        self.scratch = scratch
        warm.run(command(scratch / "whole", LEAN))
        self.lean = held(scratch / "whole")
        fault_syscalls.begin(warm, scratch)
        warm.run(command(scratch / "swept", SWEPT))
        self.swept = held(scratch / "swept")

    def copy(self):
        shutil.rmtree(self.scratch / "copy", ignore_errors=True)
        return shutil.copytree(self.scratch / "swept", self.scratch / "copy")

    def kills_forked(self):
        with_page = [*SWEPT, "report.formats=[csv, html]"]
        told = {"kills": 40, "seconds": 4, "seed": 1, "settings": with_page}
        filled = faults.kill_at_random(self.warm, self.scratch, self.swept, **told)
        return f"40 kills, {filled} runs came to the same bytes"

    def kills_vllm(self):
        return kill_vllm(self.scratch, kills=10, seed=1)

    def kills_at_calls(self):
        self._need_strace()
        calls = fault_syscalls.calls_of_a_run(self.warm, self.scratch)[:200]
        hit = sum(
            fault_syscalls.kill_at(self.warm, self.scratch, self.lean, *call) for call in calls
        )
        return f"{len(calls)} system calls, killed at {hit}"

    def errors_of_the_disk(self):
        self._need_strace()
        tried, hit = 0, 0
        for call in ("write", "writev", "fsync", "rename"):
            for error in ("ENOSPC", "EIO"):
                # Some errors are mended by a library; three in a row that nobody meets are the end.
                number, passed = 0, 0
                while passed < 3 and number < 200:
                    number += 1
                    met = fault_syscalls.refuse_at(
                        self.warm, self.scratch, self.lean, call, number, error
                    )
                    tried, hit, passed = tried + 1, hit + met, 0 if met else passed + 1
        return f"{tried} tried, {hit} met and named, all gone on with"

    def full_disk(self):
        disk = self.scratch / "disk"
        if not fault_syscalls.mounted(disk, megabytes=16):
            raise Skipped("no small file system can be mounted here: that needs root")
        rooms = range(0, 1_500_000, 75_000)
        try:
            for room in rooms:
                fault_syscalls.fill_a_small_disk(self.warm, disk, self.lean, room_bytes=room)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
        return f"filled {len(rooms)} times, with 0 to 1.4 MB left"

    def damaged_stages(self):
        copy = self.copy()
        tried = sum(fault_damage.check_stage(copy, kind, 20, 20, seed=1) for kind in KINDS)
        return f"{len(KINDS)} kinds, {tried} harms, all detected and named"

    def damaged_reports(self):
        copy = self.copy()
        read = [kind for kind, used in KINDS.items() if used]
        tried = sum(fault_damage.check_report(copy, kind, 3, 3, seed=1) for kind in read)
        return f"{len(read)} kinds that a report reads, {tried} harms, none used"

    def damaged_runs(self):
        tried = 0
        for kind in KINDS:
            tried += fault_damage.check_run(
                self.warm, self.copy(), self.swept, kind, cuts=1, flips=1, seed=1
            )
        return f"{len(KINDS)} kinds, {tried} harms, made again with the same bytes"

    def damaged_at_work(self):
        tried = 0
        for stage in ("rollouts", "evaluations/rft/seed-0/near"):
            for name in ("part-00000.parquet", "engine.json", "inputs.json"):
                tried += fault_damage.check_partial(
                    *(self.warm, self.scratch / "swept", self.scratch, self.swept, stage, name),
                    **{"cuts": 10 if "part" in name else 3, "flips": 20 if "part" in name else 3},
                    seed=1,
                )
        return f"{tried} harms to stages at work, refused or begun again"

    def damaged_checkpoints(self):
        whole, killed = self.scratch / "long", self.scratch / "long-killed"
        self.warm.run(command(whole, LONG))
        checkpoints = fault_damage.killed_in_training(self.warm, killed)
        tried = fault_damage.check_checkpoint(checkpoints, self.scratch, 20, 20, seed=1)
        for seed in range(10):
            fault_damage.check_training(self.warm, killed, self.scratch, whole, seed)
        return f"{tried} harms to a checkpoint, all detected; 10 trainings, the same weights"

    def processes(self):
        waits = [
            fault_concurrency.compete(self.warm, self.scratch / "compete", self.lean, count)
            for count in (2, 4, 8)
            for _ in range(20)
        ]
        longest = max(waits)
        assert longest < 1, f"the next process held the folder after {longest:.2f} s"
        return f"2, 4 and 8 processes, 20 rounds each; the next one held it in {longest:.2f} s"

    def methods(self):
        fault_concurrency.fail_in_four_ways(self.warm, self.scratch / "failing")
        return "out of memory, NaN, a slip, no example: holes with reasons, code 3, tried again"

    def launched_training(self):
        """A folder that two processes cannot write to is no failure of their method."""
        (self.scratch / "file").touch()
        settings = TrainingSettings(steps=2, checkpoint_every=1)
        told = {"training": settings, "selection": SELECTION, "seed": 0}
        model, place = ModelRef(str(TINY_BASE)), self.scratch / "file" / "model"
        rollouts = twelve_problems(model.path)
        with pytest.raises(OSError, match=str(place)):
            launch_training(
                Launch(processes=2), METHODS["rft"](), rollouts, place, model=model, **told
            )
        return "an error of the disk in one of two processes is told as such"

    def settings(self):
        refused, longest = fault_concurrency.refuse_settings(self.scratch, 1000, seed=1)
        assert longest < 2, f"{longest:.2f} s"
        return f"1000 mutated files, {refused} refused by path, in {longest:.2f} s at most"

    def places(self):
        whole, begun = self.scratch / "whole", self.scratch / "begun"
        (self.scratch / "elsewhere").mkdir()
        fault_concurrency.read_only(self.warm, self.scratch / "fixed", whole, self.lean)
        fault_concurrency.moved(self.warm, whole, begun, self.scratch / "elsewhere", self.lean)
        fault_concurrency.clock_jumps(self.warm, self.scratch / "clock", self.lean)
        return "read-only, moved to odd paths, ten years to and fro"

    def fuzzing(self):
        fuzzer = [sys.executable, str(Path(__file__).with_name("fuzz.py"))]
        done = subprocess.run(
            [*fuzzer, "--seconds", "600"], capture_output=True, text=True, check=False
        )
        print(done.stdout + done.stderr, flush=True)
        if "skipped" in done.stdout:
            raise Skipped("atheris is not installed")
        assert done.returncode == 0, "an input crashed what reads it"
        tried = re.findall(r"^(\w+) +([\d,]+) .*no crash$", done.stdout, re.MULTILINE)
        return f"600 s: {', '.join(f'{target} {inputs} inputs' for target, inputs in tried)}"

    def _need_strace(self):
        reason = fault_syscalls.why_not()
        if reason is not None:
            raise Skipped(reason)


class Skipped(Exception):
    """A part that this machine cannot do; the reason."""


VLLM = [*LEAN, "verifier=math", "sampler={kind: vllm, dtype: float32}", "problems.limit=40"]


def kill_vllm(scratch, kills, seed):
    """Kills the real command while it loads vLLM, samples, trains and evaluates."""
    reference, folder = scratch / "vllm", scratch / "vllm-killed"
    offline_rl = str(Path(sys.executable).with_name("offline-rl"))

    def start(out):
        return subprocess.Popen(
            [offline_rl, *command(out, VLLM)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    since = time.monotonic()
    with start(reference) as process:
        said, _ = process.communicate()
    if "vllm" in said and "not installed" in said:
        raise Skipped("vLLM is not installed")
    assert process.returncode == 0, said
    seconds, chance = time.monotonic() - since, random.Random(seed)
    killed, filled, done = 0, 0, {}
    while killed < kills or done:
        with start(folder) as process:
            if killed < kills:
                try:
                    process.wait(chance.uniform(0.3 * seconds, seconds))
                except subprocess.TimeoutExpired:
                    began = psutil.Process(process.pid).children(recursive=True)
                    os.kill(process.pid, signal.SIGKILL)
                    assert not psutil.wait_procs(began, timeout=60)[1]
            said, _ = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), said
        now = finished_stages(folder)
        assert all(now.get(path) == written for path, written in done.items())
        done = now
        if process.returncode == 0:
            check_end(folder, held(reference), done)
            shutil.rmtree(folder)
            filled, done = filled + 1, {}
        else:
            killed += 1
    return f"{kills} kills, {filled} runs came to the same bytes; one takes {seconds:.0f} s"


PARTS = [name for name in vars(Soak) if not name.startswith("_") and name != "copy"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="parts with this word in their names")
    chosen = [name for name in PARTS if parser.parse_args().only in name]
    table = []
    with tempfile.TemporaryDirectory() as scratch, Warm() as warm:
        soak = Soak(warm, Path(scratch))
        for name in chosen:
            print(f"{name} ...", flush=True)
            since = time.monotonic()
            try:
                result, found = "holds", getattr(soak, name)()
            except Skipped as reason:
                result, found = "skipped", str(reason)
            except Exception as error:
                traceback.print_exc()
                first = (str(error).splitlines() or [""])[0]
                result, found = "FAILS", f"{type(error).__name__}: {first[:150]}"
            table.append((name, result, f"{time.monotonic() - since:.0f} s", found))
    width = max(len(row[0]) for row in table)
    for name, result, seconds, found in table:
        print(f"{name:<{width}}  {result:<7}  {seconds:>6}  {found}")
    return 1 if any(row[1] == "FAILS" for row in table) else 0


if __name__ == "__main__":
    sys.exit(main())
