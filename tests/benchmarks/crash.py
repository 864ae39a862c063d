"""Kills a generation of real vLLM at twenty random moments and compares the bytes on disk.

Run: `python tests/benchmarks/crash.py`. Exits with an error where one byte differs.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.append(str(Path(__file__).parents[1]))

from test_stages_sample_crash import SAMPLING, check_samples, kill_at_random

from data_gen.collection import collected_chunks
from data_gen.model_ref import ModelRef
from data_gen.problems.arithmetic import arithmetic_problems
from data_gen.samplers import ModelSampler, VllmSettings, start_engine
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.verifiers.math import MathSettings
from offline_rl.tiny_base import TINY_BASE


def generate(folder, problems):
    """Run in a process of its own: real vLLM, the tiny base, real verdicts."""
    # Few sequences at once, so that the chunks end one after another.
    settings = VllmSettings(dtype="float32", max_num_seqs=16)
    with (
        MathSettings().open() as verify,
        start_engine(settings, ModelRef(str(TINY_BASE))) as engine,
    ):
        sample = ModelSampler(engine, load_tokenizer(ModelRef(str(TINY_BASE))), "raw")
        print("ready", flush=True)
        for _ in collected_chunks(
            arithmetic_problems("train", problems),
            sample,
            verify,
            SAMPLING,
            folder=Path(folder),
            chunk_problems=4,
        ):
            pass


class Generating:
    """A process that generates with vLLM, from the moment that its model is loaded."""

    def __init__(self, folder, problems):
        run = f"import sys; sys.path.append({str(Path(__file__).parent)!r})\n"
        run += f"import crash as t; t.generate({str(folder)!r}, {problems})"
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", run], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def kill(self):
        """Whether it was still at work. What it had started must end by itself."""
        if self.process.poll() is not None:
            return False
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        _, alive = psutil.wait_procs(children, timeout=30)
        assert not alive
        return self.wait() == -signal.SIGKILL

    def wait(self):
        self.process.stdout.close()
        return self.process.wait()


def kill_vllm(reference, scratch, *, problems, kills, seconds, seed):
    """Kills generations of real vLLM; returns how many folders were filled."""
    check_samples(reference, arithmetic_problems("train", problems))
    return kill_at_random(
        lambda folder: Generating(folder, problems),
        reference,
        scratch,
        kills=kills,
        seconds=seconds,
        seed=seed,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        reference = Path(scratch) / "reference"
        uninterrupted = Generating(reference, given.problems)
        start = time.monotonic()
        if uninterrupted.wait() != 0:
            raise SystemExit("the generation that is left alone does not come to its end")
        seconds = time.monotonic() - start
        print(f"one generation takes {seconds:.1f} s once its model is loaded", flush=True)
        filled = kill_vllm(
            reference,
            Path(scratch),
            problems=given.problems,
            kills=given.kills,
            seconds=seconds,
            seed=given.seed,
        )
    print(f"{given.kills} kills, {filled} generations came to their end with the same bytes")


if __name__ == "__main__":
    main()
