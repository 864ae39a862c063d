"""Files cut and flipped: what a report and a run then make of them."""

import json
import shutil
import time
from random import Random

from data_gen.types import DataError
from offline_rl import load_run
from offline_rl.artifacts.checksums import parse_checksummed
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.training.checkpoints import last_checkpoint
from tests.helpers.faults import SWEPT, check_end, command, held

# Each kind of file, and whether a report reads it. A report must name what it reads.
KINDS = {
    "rollouts/stage.json": False,
    "rollouts/about.json": False,
    "rollouts/summary.json": False,
    "rollouts/engine.json": False,
    "rollouts/part-00000.parquet": False,
    "dataset/stage.json": True,
    "dataset/about.json": True,
    "dataset/summary.json": True,
    "dataset/part-00000.parquet": False,
    "behaviour/stage.json": True,
    "behaviour/gap.json": True,
    "overlap/stage.json": True,
    "overlap/overlap.json": True,
    "budget/stage.json": True,
    "budget/budget.json": True,
    "sweep/trials.json": True,
    "sweep/rft/trial-0/stage.json": True,
    "sweep/rft/trial-0/training.json": True,
    "sweep/rft/trial-0-validation/part-00000.parquet": False,
    "models/rft/seed-0/stage.json": True,
    "models/rft/seed-0/training.json": True,
    "models/rft/seed-0/config.json": True,
    "models/rft/seed-0/model.safetensors": False,
    "evaluations/rft/seed-0/near/stage.json": True,
    "evaluations/rft/seed-0/near/about.json": True,
    "evaluations/rft/seed-0/near/part-00000.parquet": True,
    "environment.json": True,
    "stages.json": True,
}
# Of no stage, and written again by every run.
ALONE = ("sweep/trials.json", "environment.json", "stages.json")


def harms(content, chance, cuts, flips):
    """The content cut at so many places, and with one bit flipped at so many others."""
    for _ in range(cuts):
        yield content[: chance.randrange(len(content))]
    for _ in range(flips):
        at = chance.randrange(len(content))
        yield content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def check_stage(folder, kind, cuts, flips, seed):
    """A stage tells which of its files is damaged."""
    path = folder / kind
    content = path.read_bytes()
    told = 0
    for harm in harms(content, Random(seed), cuts, flips):
        if kind in ALONE:
            assert parse_checksummed(harm) is None, kind
        else:
            path.write_bytes(harm)
            assert path.name in PublishedStage(path.parent).damage(weights=True), kind
        told += 1
    path.write_bytes(content)
    return told


def check_report(folder, kind, cuts, flips, seed):
    """A report that reads a damaged file says so, or is refused for it."""
    path = folder / kind
    content = path.read_bytes()
    told = 0
    for harm in harms(content, Random(seed), cuts, flips):
        path.write_bytes(harm)
        assert named_by_report(folder, path), f"{kind}: {harm[:200]!r}"
        told += 1
    path.write_bytes(content)
    return told


def named_by_report(folder, path):
    try:
        said = [note.text for note in load_run(folder).notes if note.kind == "missing"]
    except DataError as error:
        said = [str(error)]
    place = str(path.parent.relative_to(folder))
    return any("damaged" in line and (path.name in line or place in line) for line in said)


def check_run(warm, folder, reference, kind, cuts, flips, seed):
    """The next run names the file, makes it again, and ends in the same bytes."""
    path = folder / kind
    tried = 0
    for harm in harms(path.read_bytes(), Random(seed), cuts, flips):
        path.write_bytes(harm)
        if path.suffix == ".safetensors":
            # Weights are looked at when they are to be used.
            shutil.rmtree(folder / "evaluations" / path.parts[-3])
        said = " ".join(warm.run(command(folder, SWEPT)).split())
        if kind not in ALONE:
            assert "again, since" in said, kind
            assert path.name in said, kind
        check_end(folder, reference)
        tried += 1
    return tried


def begun_again(folder, stage):
    """Turns a finished stage into one that was killed just before its end."""
    manifest = json.loads((folder / stage / "stage.json").read_text())
    partial = (folder / stage).with_name(f"{(folder / stage).name}.partial")
    (folder / stage).rename(partial)
    for name in ("stage.json", "summary.json", "about.json", "README.md"):
        (partial / name).unlink(missing_ok=True)
    begun = {"format": manifest["format"], "inputs": manifest["inputs"]}
    text = json.dumps(begun, indent=1, sort_keys=True) + "\n"
    (partial / "inputs.json").write_text(text)
    return partial


def check_partial(warm, whole, scratch, reference, stage, name, *, cuts, flips, seed):
    """A file of a stage at work is refused by name, or done again, and the bytes are the same."""
    folder = scratch / "partial"
    begun = shutil.copytree(whole, scratch / "begun-again")
    content = (begun_again(begun, stage) / name).read_bytes()
    tried = 0
    for harm in harms(content, Random(seed), cuts, flips):
        shutil.copytree(begun, folder)
        path = (folder / stage).with_name(f"{(folder / stage).name}.partial") / name
        path.write_bytes(harm)
        code, said = warm.start(command(folder, SWEPT)).wait()
        assert code in (0, 1), said
        if code == 1:
            last = said.splitlines()[-1]
            assert path.name in last or "threads" in last, said
            path.write_bytes(content)
            warm.run(command(folder, SWEPT))
        check_end(folder, reference)
        shutil.rmtree(folder)
        tried += 1
    shutil.rmtree(begun)
    return tried


LONG = [*SWEPT, "sweep=null", "methods={psft: {lag_steps: 4}}", "training.steps=25"]


def killed_in_training(warm, folder):
    """A run killed with two whole checkpoints; the folder of these."""
    checkpoints = folder / "models/psft/seed-0.partial/checkpoints"
    started = warm.start(command(folder, LONG))
    while len(list(checkpoints.glob("checkpoint-*/complete"))) < 2:
        time.sleep(0.001)
    assert started.kill()
    return checkpoints


def check_checkpoint(checkpoints, scratch, cuts, flips, seed):
    """No checkpoint with a damaged file is gone on from."""
    newest = last_checkpoint(checkpoints)
    tried = 0
    for path in sorted(newest.rglob("*")):
        content = path.read_bytes()
        for harm in harms(content, Random(f"{seed}/{path.name}"), cuts, flips):
            copy = shutil.copytree(checkpoints, scratch / "checkpoints")
            (copy / newest.name / path.relative_to(newest)).write_bytes(harm)
            assert last_checkpoint(copy).name != newest.name, path.name
            shutil.rmtree(copy)
            tried += 1
    return tried


def check_training(warm, whole, scratch, reference, seed):
    """A training whose newest checkpoint is damaged comes to the same weights."""
    weights = "models/psft/seed-0/model.safetensors"
    chance = Random(seed)
    newest = last_checkpoint(whole / "models/psft/seed-0.partial/checkpoints")
    path = chance.choice(sorted(p for p in newest.rglob("*") if p.stat().st_size))
    folder = shutil.copytree(whole, scratch / "training")
    content = path.read_bytes()
    (folder / path.relative_to(whole)).write_bytes(next(harms(content, chance, 0, 1)))
    warm.run(command(folder, LONG))
    assert (folder / weights).read_bytes() == (reference / weights).read_bytes(), path
    assert held(folder) == held(reference)
    shutil.rmtree(folder)
