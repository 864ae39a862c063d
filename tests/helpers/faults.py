"""A whole experiment in seconds: forked from a warm process, sampled by script, really trained."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHORT = [
    "problems={source: arithmetic, split: train, limit: 260}",
    "sampling.samples=2",
    "sampler=transformers",
    "verifier=exact",
    "behaviour_check=4",
    "budget={match: steps}",
    "training.steps=3",
    "training.examples_per_step=4",
    "training.checkpoint_every=1",
    "seeds=[0]",
    "methods={rft: {}, dpo: {}}",
    "evaluation.sampling.samples=2",
    "evaluation.decodings={}",
    "evaluation.benchmarks={near: {source: arithmetic, split: test, limit: 20}}",
    # The page takes more time than the rest.
    "report.formats=[csv]",
]
SWEPT = [
    *SHORT,
    "sweep.problems={source: arithmetic, split: validation, limit: 10}",
    "sweep.grids={rft: {lr: [1e-3, 3e-3]}}",
]


def command(folder, settings=SHORT, *more):
    return ["run", "demo", *settings, "--out", str(folder), *more]


class Warm:
    """A process with everything imported; it forks, and its forks run the real command, in the
    environment of whoever asks."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(ROOT / "tests" / "helpers" / "warm_child.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )
        assert self._process.stdout.readline() == "ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        # Its standard input ends, and with it the process.
        self._process.__exit__(*error)

    def start(self, arguments, **how):
        """`how`: `gate`, a file to wait for; `clock`, seconds that it jumps by; `powerless`, as one
        whom modes of files bind; `broken`, methods that fail; `scripted`, False for real samples;
        `absent`, modules that must not be imported; `head_seconds`, the patience with a cluster;
        `packages`, a folder of packages that were installed since; `call`, module:function to call
        with the arguments in place of the command; `pipe`, the path of one, opened for it to write.
        """
        told = {"arguments": [str(one) for one in arguments], "environment": dict(os.environ)}
        return Started(self, self._ask(**told, **how))

    def run(self, arguments, *, check=0, **how):
        code, said = self.start(arguments, **how).wait()
        assert code == check, f"exit code {code}: {said}"
        return said

    def _ask(self, **request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class Started:
    def __init__(self, warm, pid):
        self._warm = warm
        self.pid = pid
        self._end = None

    def wait(self):
        """The exit code, negative for a signal, and what was said."""
        if self._end is None:
            self._end = tuple(self._warm._ask(wait=self.pid))
        return self._end

    def kill(self):
        """Whether it was still at work."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()[0] == -signal.SIGKILL


def held(folder):
    """The bytes of what a run leaves, clock readings aside."""
    return (folder / "report" / "comparison.csv").read_bytes()


def finished_stages(folder):
    """When the files of each finished stage were written; a stage done again has other inodes.

    Without the manifest, which is written again where weights are dropped, and without weights.
    """
    return {
        path: {
            (str(file.relative_to(path.parent)), file.stat().st_mtime_ns, file.stat().st_ino)
            for file in path.parent.rglob("*")
            if file != path and file.suffix != ".safetensors" and file.is_file()
        }
        for path in folder.rglob("stage.json")
        if ".partial" not in str(path)
    }


def hashes(folder, *, finished=False):
    """Of every file, or of those in finished stages alone."""
    every = (path for path in folder.rglob("*") if path.is_file())
    whole = {path.parent for path in finished_stages(folder)}
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in every
        if not finished or path.parent in whole
    }


def strays(folder):
    """Files that only a process at work has a use for."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name.endswith((".partial", ".old", ".taken"))
        or (path.name.startswith(".") and path.name != ".lock")
        or path.name == "checkpoints"
    ]


def check_end(folder, reference, done=None):
    """The run has ended as one that was left alone, and what `done` tells of was not redone."""
    assert held(folder) == reference
    assert strays(folder) == []
    now = finished_stages(folder)
    again = [str(path) for path, written in (done or {}).items() if now.get(path) != written]
    assert again == []


def kill_at_random(warm, scratch, reference, *, kills, seconds, seed, settings=SHORT):
    """Kills runs within `seconds` of their start until `kills` met one at work."""
    moments = random.Random(seed)
    killed, filled, done = 0, 0, {}
    while killed < kills or done:
        folder = scratch / f"run-{filled}"
        started = warm.start(command(folder, settings))
        if killed < kills:
            time.sleep(moments.uniform(0, seconds))
            if started.kill():
                killed += 1
                now = finished_stages(folder)
                again = [str(path) for path in done if now.get(path) != done[path]]
                assert again == []
                done = now
                continue
        code, said = started.wait()
        assert code == 0, said
        check_end(folder, reference, done)
        shutil.rmtree(folder)
        filled, done = filled + 1, {}
    return filled


def train_with_kills(warm, call, arguments, scratch, *, steps, delay):
    """Begins a training anew until it ends, killed some time within `delay` seconds of each step.

    `call` gets the arguments and a pipe, to which it writes the number of each step. Gives how many
    of the kills met a training at work.
    """
    chance, killed, pipe = random.Random(0), 0, scratch / "steps"
    os.mkfifo(pipe)
    for step in [*steps, None]:
        started = warm.start(arguments, call=call, pipe=str(pipe))
        with pipe.open() as lines:
            for line in lines:
                if step is not None and int(line) >= step:
                    time.sleep(chance.uniform(0, delay))
                    killed += started.kill()
                    break
        code, said = started.wait()
        assert code in (0, -signal.SIGKILL), said
    assert code == 0, said
    return killed
