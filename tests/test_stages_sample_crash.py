"""A generation killed at any moment goes on to the very bytes of one that was left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest

from data_gen import load_rollouts
from data_gen.collection import collected_chunks
from data_gen.model_ref import ModelRef
from data_gen.problems.arithmetic import arithmetic_problems
from data_gen.samplers import ModelSampler
from data_gen.samplers.base import request_seed
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.types import Completion, Problem, Sampling, Verdict
from data_gen.verifiers.math import MathSettings
from offline_rl.tiny_base import TINY_BASE

pytestmark = pytest.mark.xdist_group("vllm")

SAMPLING = Sampling(samples=8, max_tokens=64, seed=5)


def kill_at_random(start, reference, scratch, *, kills, seconds, seed):
    """Kills what `start(folder)` starts, within `seconds` each time, until `kills` were met.

    A process that ends before its time has come must have left the bytes of the reference; the
    next one gets an empty folder. Returns how many folders were filled.
    """
    moments = random.Random(seed)
    expected = {path.name: path.read_bytes() for path in reference.glob("part-*.parquet")}
    killed, filled = 0, 0
    while True:
        folder = scratch / f"folder-{filled}"
        process = start(folder)
        time.sleep(moments.uniform(0, seconds) if killed < kills else 0)
        if killed < kills and process.kill():
            killed += 1
            held = {path.name: path.read_bytes() for path in folder.glob("part-*.parquet")}
            assert held.items() <= expected.items()
            print(f"kill {killed}: {len(held)} of {len(expected)} parts are whole", flush=True)
            continue
        assert process.wait() == 0
        # Nothing else is left: neither a torn part nor one too many.
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == expected
        filled += 1
        if killed == kills:
            return filled


def check_samples(folder, problems):
    """No sample twice, none missing, each with the seed that is its own."""
    held = [(r.problem.id, r.completion.sample, r.completion.seed) for r in load_rollouts(folder)]
    seeds = {problem.id: request_seed(SAMPLING.seed, problem.id) for problem in problems}
    assert held == [
        (problem.id, j, seeds[problem.id] + j) for problem in problems for j in range(8)
    ]


PROBLEMS = [Problem(f"p{n}", f"{n} + 1", str(n + 1)) for n in range(90)]


def scripted(chunk, sampling):
    """Answers at random, as the seed decides, and takes its time."""
    time.sleep(0.004)
    completions = []
    for problem in chunk:
        first = request_seed(sampling.seed, problem.id)
        for j in range(sampling.samples):
            chance = random.Random(first + j)
            tokens = [chance.randrange(300) for _ in range(chance.randrange(1, 60))]
            completions.append(
                Completion(
                    problem_id=problem.id,
                    sample=j,
                    seed=first + j,
                    prompt=problem.prompt,
                    prompt_tokens=[1, 2, 3],
                    text=" ".join(map(str, tokens)),
                    tokens=tokens,
                    logps=[-chance.random() for _ in tokens],
                    finish_reason="stop",
                )
            )
    return completions


def judge(pairs):
    time.sleep(0.002)
    return [Verdict.correct(text) if len(text) % 2 else Verdict.wrong("odd") for _, text in pairs]


def fill(folder):
    """Generates with the scripted sampler; fails where a chunk is done a second time."""

    def sample(chunk, sampling):
        number = PROBLEMS.index(chunk[0]) // 3
        assert not (folder / f"part-{number:05}.parquet").exists()
        return scripted(chunk, sampling)

    for _ in collected_chunks(PROBLEMS, sample, judge, SAMPLING, folder=folder, chunk_problems=3):
        pass


class Forked:
    """A copy of this process that fills a folder; it spares the seconds of importing."""

    def __init__(self, folder):
        self.code = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                fill(folder)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)

    def kill(self):
        """Whether it was still at work."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            os.kill(self.pid, signal.SIGKILL)
            _, status = os.waitpid(self.pid, 0)
        self.code = os.waitstatus_to_exitcode(status)
        return self.code == -signal.SIGKILL

    def wait(self):
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code


def kill_forked(scratch):
    """Run in a process of its own, which is safe to fork."""
    reference = Path(scratch) / "reference"
    assert Forked(reference).wait() == 0
    check_samples(reference, PROBLEMS)
    filled = kill_at_random(Forked, reference, Path(scratch), kills=20, seconds=0.3, seed=0)
    print("folders filled:", filled)


def test_twenty_kills_change_no_byte(tmp_path):
    run = f"import sys; sys.path.append({str(Path(__file__).parent)!r})\n"
    run += f"import test_stages_sample_crash as t; t.kill_forked({str(tmp_path)!r})"
    command = [sys.executable, "-P", "-c", run]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "folders filled:" in done.stdout


def test_a_vllm_that_was_stopped_goes_on_to_the_same_bytes(vllm_engine, tmp_path):
    """Other requests are then decoded together; `make soak` kills whole runs of vLLM."""
    vllm_engine.load(ModelRef(str(TINY_BASE)))
    sample = ModelSampler(vllm_engine, load_tokenizer(ModelRef(str(TINY_BASE))), "raw")
    problems = arithmetic_problems("train", 24)
    with MathSettings().open() as verify:

        def chunks(folder):
            return collected_chunks(
                problems, sample, verify, SAMPLING, folder=tmp_path / folder, chunk_problems=2
            )

        assert len(list(chunks("whole"))) == 12
        check_samples(tmp_path / "whole", problems)
        for stop in (1, 5):
            stopped = chunks("stopped")
            assert len(list(islice(stopped, stop))) == stop
            stopped.close()
        held = {path: path.stat().st_mtime_ns for path in parts(tmp_path / "stopped")}
        assert 5 <= len(held) < 12
        assert len(list(chunks("stopped"))) == 12
    assert all(path.stat().st_mtime_ns == written for path, written in held.items())
    whole, gone_on = (
        {path.name: path.read_bytes() for path in parts(tmp_path / folder)}
        for folder in ("whole", "stopped")
    )
    assert gone_on == whole


def parts(folder):
    return sorted(folder.glob("part-*.parquet"))
