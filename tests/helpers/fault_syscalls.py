"""Faults below Python: a run killed, or refused by the disk, at its N-th system call (strace)."""

import os
import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

from tests.helpers.faults import SHORT, check_end, command, finished_stages, hashes

LEAN = [
    *SHORT,
    "methods={rft: {}}",
    "problems.limit=12",
    "training.steps=2",
    "budget=null",
    "evaluation.benchmarks.near.limit=6",
]
CALLS = "write,writev,pwrite64,fsync,fdatasync,rename,renameat,renameat2"


def why_not():
    """Why nothing can be traced here; None where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(
        ["strace", "-e", "trace=none", "true"], capture_output=True, text=True, check=False
    )
    return None if done.returncode == 0 else f"strace may not trace here: {done.stderr.strip()}"


def traced(warm, scratch, arguments, *options):
    """Runs the command under strace from its first step on; its exit code and what it said."""
    gate = scratch / "gate"
    gate.unlink(missing_ok=True)
    started = warm.start(arguments, gate=str(gate))
    tracer = subprocess.Popen(
        ["strace", "-f", "-p", str(started.pid), "-o", str(scratch / "trace"), *options],
        stderr=subprocess.DEVNULL,
    )
    while not re.search(r"TracerPid:\t[1-9]", Path(f"/proc/{started.pid}/status").read_text()):
        assert tracer.poll() is None
        time.sleep(0.002)
    gate.touch()
    end = started.wait()
    tracer.wait()
    return end


def calls_of_a_run(warm, scratch):
    """The system calls that write, in their order: each with its number in its own thread."""
    code, said = traced(warm, scratch, command(scratch / "counted", LEAN), "-e", f"trace={CALLS}")
    assert code == 0, said
    shutil.rmtree(scratch / "counted")
    seen, calls = Counter(), []
    for line in (scratch / "trace").read_text().splitlines():
        if found := re.match(r"(\d+) +(\w+)\(", line):
            seen[found.groups()] += 1
            calls.append((found[2], seen[found.groups()]))
    return list(dict.fromkeys(calls))


def kill_at(warm, scratch, reference, call, number):
    """Whether the run was killed there; the next one ends as if it had not been."""
    folder = scratch / f"killed-{call}-{number}"
    options = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
    code, said = traced(warm, scratch, command(folder, LEAN), *options)
    assert code in (0, -9), said
    done = finished_stages(folder) if folder.exists() else {}
    warm.run(command(folder, LEAN))
    check_end(folder, reference, done)
    shutil.rmtree(folder)
    return code == -9


def refuse_at(warm, scratch, reference, call, number, error):
    """Whether the run met the error; then it names a path, and goes on once there is room."""
    folder = scratch / f"refused-{call}-{number}"
    shutil.copytree(scratch / "begun", folder)
    before = hashes(folder, finished=True)
    options = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={number}"]
    code, said = traced(warm, scratch, command(folder, LEAN), *options)
    hit = code != 0
    if hit:
        assert code == 1, f"{call} {number} {error}: exit code {code}: {said}"
        last = said.splitlines()[-1]
        assert last.startswith("error: "), f"{call} {number} {error}: {said}"
        assert str(folder) in last, f"{call} {number} {error}: {said}"
    assert before.items() <= hashes(folder, finished=True).items()
    warm.run(command(folder, LEAN))
    check_end(folder, reference)
    shutil.rmtree(folder)
    return hit


def begin(warm, scratch):
    """A run with its data set finished, so that there are earlier artefacts to keep."""
    warm.run(["generate", "demo", *LEAN, "--out", str(scratch / "begun")])


def mounted(folder, megabytes):
    """Whether a small file system of its own could be put at `folder`, which needs root."""
    folder.mkdir()
    if os.geteuid() != 0:
        return False
    options = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    return subprocess.run(options, capture_output=True, check=False).returncode == 0


def fill_a_small_disk(warm, folder, reference, room_bytes):
    """A run where only so many bytes are left; then it goes on with all the room there is."""
    ballast = folder / "ballast"
    warm.run(["generate", "demo", *LEAN, "--out", str(folder / "run")])
    before = hashes(folder / "run", finished=True)
    free = os.statvfs(folder)
    with ballast.open("wb") as file:
        left = free.f_bavail * free.f_frsize - room_bytes
        while left > 0:
            left -= file.write(b"\0" * min(left, 1 << 20))
    code, said = warm.start(command(folder / "run", LEAN)).wait()
    assert code == 1, said
    assert said.splitlines()[-1].startswith("error: "), said
    assert str(folder) in said.splitlines()[-1], said
    assert before.items() <= hashes(folder / "run", finished=True).items()
    ballast.unlink()
    warm.run(command(folder / "run", LEAN))
    check_end(folder / "run", reference)
    shutil.rmtree(folder / "run")
