"""Kills a generation of real vLLM at twenty random moments and compares the bytes on disk.

Run: `python tests/benchmarks/crash.py`. Exits with an error where one byte differs.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from test_generation_crash import Generating, kill_vllm


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
