"""Several processes on one folder, methods that fail, settings that are wrong, odd places."""

import json
import os
import random
import shutil
import signal
import time
from importlib import resources

import pandas as pd
import yaml

from offline_rl.config.load import UsageError, load_experiment
from tests.helpers.fault_syscalls import LEAN
from tests.helpers.faults import check_end, command, finished_stages, held

DEMO = resources.files("offline_rl") / "experiments" / "demo.yaml"


def compete(warm, folder, reference, count):
    """Of `count` processes one works and the others name it; killed, it is followed at once.

    Returns the seconds from the kill until the next process holds the folder.
    """
    gate = folder.with_name("gate")
    started = [warm.start(command(folder, LEAN), gate=str(gate)) for _ in range(count)]
    gate.touch()
    while holder(folder) is None:
        time.sleep(0.001)
    first = holder(folder)
    os.kill(first, signal.SIGSTOP)
    [works] = [one for one in started if one.pid == first]
    try:
        for other in started:
            if other is not works:
                code, said = other.wait()
                assert code == 1, said
                assert f"another process is at work here (process {first} on " in said, said
                assert said.count("\n") == 1
    finally:
        gate.unlink()
        assert works.kill()
    since = time.monotonic()
    follower = warm.start(command(folder, LEAN))
    while holder(folder) != follower.pid:
        time.sleep(0.001)
    seconds = time.monotonic() - since
    code, said = follower.wait()
    assert code == 0, said
    check_end(folder, reference)
    shutil.rmtree(folder)
    return seconds


def holder(folder):
    try:
        return json.loads((folder / ".lock").read_text())["pid"]
    except (FileNotFoundError, ValueError):
        return None


def fail_in_four_ways(warm, folder):
    """Out of memory, not a number, a slip, no example: the fifth method and the report complete."""
    settings = [
        *LEAN,
        "methods={rft: {}, dft: {}, power: {}, iw_sft: {}, dpo: {training: {max_tokens: 2}}}",
        "report.formats=[csv,html]",
    ]
    broken = {"spent": "rft", "divergent": "dft", "mistaken": "power"}
    warm.run(command(folder, settings), broken=broken, check=3)
    reasons = {"rft": "out of memory", "dft": "nan", "dpo": "max_tokens = 2"}
    reasons["power"] = "(warm_child.py, line "
    check_holes(folder, reasons)
    done = finished_stages(folder / "models" / "iw_sft")
    said = warm.run(command(folder, settings, "--retry-failed"), check=3)
    assert said.count("tried again after") == 4
    check_holes(folder, {"dpo": reasons["dpo"]})
    assert finished_stages(folder / "models" / "iw_sft") == done


def check_holes(folder, reasons):
    table = pd.read_csv(folder / "report" / "training.csv").set_index("label")
    failed = table[table.status == "failed"]
    assert set(failed.index) == set(reasons)
    page = (folder / "report" / "index.html").read_text()
    for label, reason in reasons.items():
        said = " ".join(str(value) for value in failed.loc[label])
        assert reason in said.replace("NaN", "nan"), said
        assert reason in page
    compared = set(pd.read_csv(folder / "report" / "comparison.csv").label)
    assert compared == {"base", "rft", "dft", "power", "iw_sft", "dpo"} - set(reasons)


WRONG = (-1, 1e400, float("nan"), "x", "", [], {}, [1, "a"], {"a": 1}, None, True, "../..", "5e-5")


def mutated(chance, settings):
    """Settings with one thing changed, and the path of what was changed."""
    settings = json.loads(json.dumps(settings))
    path, inner = [], settings
    while True:
        key = chance.choice(sorted(inner))
        path.append(key)
        if not isinstance(inner[key], dict) or not inner[key] or chance.random() < 0.3:
            break
        inner = inner[key]
    if chance.random() < 0.3:
        inner[f"{key}x"] = inner.pop(key)
    else:
        inner[key] = chance.choice(WRONG)
    return settings, path


def refuse_settings(scratch, count, seed):
    """How many of so many mutated files were refused, all by the path, and the longest took."""
    chance = random.Random(seed)
    whole = yaml.safe_load(DEMO.read_text())
    file = scratch / "mutated.yaml"
    refused, longest = 0, 0.0
    for _ in range(count):
        settings, path = mutated(chance, whole)
        file.write_text(yaml.safe_dump(settings))
        since = time.monotonic()
        try:
            load_experiment(file)
        except UsageError as error:
            refused += 1
            said = str(error)
            assert named(said, path), f"{path}: {said}"
        longest = max(longest, time.monotonic() - since)
    return refused, longest


def named(said, path):
    """Whether a message names the place, or a key next to it that it goes with."""
    return any(".".join(path[:length]) in said for length in (len(path), len(path) - 1) if length)


def read_only(warm, folder, whole, reference):
    """One line that names the folder; what is there can still be read."""
    shutil.copytree(whole, folder)
    places = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for place in places:
        place.chmod(0o555)
    (folder / ".lock").chmod(0o444)
    for arguments in (command(folder, LEAN), ["report", str(folder)]):
        code, said = warm.start(arguments, powerless=True).wait()
        assert code == 1, said
        assert said.startswith("error: "), said
        assert said.count("\n") == 1, said
        assert str(folder) in said
    warm.run(["show", str(folder)], powerless=True)
    for place in places:
        place.chmod(0o755)
    assert held(folder) == reference


def moved(warm, whole, begun, target, reference):
    """Another path, with spaces and letters of other scripts: what is finished stays finished."""
    for source in (whole, begun):
        shutil.copytree(source, target / "ein Ordner, größer als 数学 (2)")
        folder = (target / "ein Ordner, größer als 数学 (2)").rename(target / "там 'x' $HOME")
        done = {path.relative_to(folder) for path in finished_stages(folder)}
        times = {path: path.stat().st_mtime_ns for path in folder.rglob("stage.json")}
        said = warm.run(command(folder, LEAN))
        assert said.count("finished and unchanged, skipped") == len(done)
        assert {path: path.stat().st_mtime_ns for path in times} == times
        check_end(folder, reference)
        shutil.rmtree(folder)


def clock_jumps(warm, folder, reference):
    """A clock that leaps ten years to and fro changes no figure and redoes nothing."""
    warm.run(command(folder, LEAN), clock=3.2e8)
    check_end(folder, reference)
    done = finished_stages(folder)
    warm.run(command(folder, LEAN), clock=-3.2e8)
    check_end(folder, reference, done)
    shutil.rmtree(folder)
