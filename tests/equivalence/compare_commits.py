"""Makes the same small run with another commit and with this one, and compares what they wrote.

    python -m tests.equivalence.compare_commits COMMIT [--declared FILE] [--keep FOLDER]

Both run one after the other on this machine, for processors round differently. Prints a line for
each difference that FILE (as `Declared`) does not hold, and exits with code 1 where there is one.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from tests.equivalence.compare_runs import Declared, differences

ROOT = Path(__file__).parents[2]
SETTINGS = Path("tests/equivalence/fixed_run.yaml")
DECLARED = Path(__file__).with_name("declared.yaml")


def run_settings(
    source: Path, settings: Path | str, folder: Path, hash_seed: str, *overrides: str
) -> float:
    """Runs `settings` with the code in `source`; how many seconds it took."""
    scripts = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    module, _, function = scripts["offline-rl"].partition(":")
    code = f"import sys; from {module} import {function}; sys.exit({function}())"
    environment = {
        **os.environ,
        "PYTHONPATH": str(source),
        "PYTHONHASHSEED": hash_seed,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-P", "-c", code, "run", str(settings), *overrides]
    command += ["--out", str(folder)]
    began = time.monotonic()
    # Not inside of this checkout, whose packages would come first.
    done = subprocess.run(
        command, env=environment, cwd=folder.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{source}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit")
    parser.add_argument("--declared", type=Path, default=DECLARED)
    parser.add_argument("--keep", type=Path, help="folder for both runs; default: a temporary one")
    given = parser.parse_args()
    declared = Declared.read(given.declared)
    with tempfile.TemporaryDirectory() as temporary:
        place = (given.keep or Path(temporary)).resolve()
        source = Path(temporary) / "source"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", source, given.commit], check=True)
        try:
            # A commit from before this comparison has no settings of its own.
            own = source / SETTINGS
            settings = own if own.exists() else ROOT / SETTINGS
            folders = [place / side / "fixed_run" for side in ("old", "new")]
            for folder in folders:
                folder.parent.mkdir(parents=True)
            old = run_settings(source, settings, folders[0], hash_seed="1")
            new = run_settings(ROOT, ROOT / SETTINGS, folders[1], hash_seed="2")
        finally:
            subprocess.run([*git, "remove", "--force", source], check=True)
        found = differences(*folders, declared)
    print(f"{given.commit}: {old:.0f} s, now: {new:.0f} s")
    print("\n".join(found) if found else "the same tables, cards, page and settings")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
