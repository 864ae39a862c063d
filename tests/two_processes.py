"""Run by several processes together: trains every case of tests/test_launching.py."""

import sys
from pathlib import Path

from offline_rl.training import train
from tests.test_launching import CASES, case, told
from tests.training_parts import twelve_problems


def main(model: str, folder: str) -> None:
    rollouts = twelve_problems(model)
    for kind, budget, steps in CASES:
        method, training = case(kind, budget, steps)
        train(method, rollouts, Path(folder) / f"{kind}-{budget}", **told(model, training))


if __name__ == "__main__":
    main(*sys.argv[1:])
