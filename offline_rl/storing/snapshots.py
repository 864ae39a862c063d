"""A whole run in an object store: what it was made with, its report, and where its stages lie."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_gen.types import DataError
from offline_rl.files import write_atomically
from offline_rl.gathering import ENVIRONMENT
from offline_rl.locating import REPORT, SETTINGS
from offline_rl.lock import locked
from offline_rl.progress import Progress
from offline_rl.sealing import sealed
from offline_rl.stages import Stage, sha256
from offline_rl.steps.sweep import TRIALS
from offline_rl.storing.objects import Objects
from offline_rl.storing.stages import (
    check_inside,
    content_of,
    pointed_at,
    read_stored,
    receive,
    restore,
    send,
)

LATEST = "run.json"
_RUN = "run"


def put_snapshot(
    objects: Objects, folder: Path, places: Mapping[str, str], runs: Sequence[str] = ()
) -> None:
    """Sends settings and report of a run's folder, and then makes them the latest.

    `places` says where the stages lie, by name; `runs` names folders inside of this one with runs
    of their own, stored below this address by the same names.
    """
    wanted = [SETTINGS, ENVIRONMENT, f"sweep/{TRIALS}"]
    wanted += sorted(f"{REPORT}/{path.name}" for path in (folder / REPORT).glob("[!.]*"))
    there = [name for name in wanted if (folder / name).is_file()]
    manifest = {
        "inputs": {"stages": dict(places), "runs": list(runs)},
        "files": {name: _about(folder / name) for name in there},
    }
    content = content_of(manifest)
    send(objects, f"{_RUN}/{content}", folder, manifest)
    objects.write(LATEST, sealed({"content": content}))


def fetch(address: str, folder: Path, *, progress: Progress) -> None:
    """Makes a run's folder of what is stored at an address; finished stages there stay.

    Weights are not stored, so that a run that needs them trains again. Raises DataError where no
    run is stored, one is damaged, or the folder holds a run with other settings.
    """
    objects = Objects(address)
    content = pointed_at(objects, LATEST)
    if content is None:
        raise DataError(f"{address}: no run is stored here")
    place = f"{_RUN}/{content}"
    manifest = read_stored(objects, place)
    stages, runs = manifest["inputs"]["stages"], manifest["inputs"]["runs"]
    for name in (*stages, *stages.values(), *runs):
        check_inside(name)
    with locked(folder):
        _check_same_run(folder, manifest, address)
        for name, at in stages.items():
            _fetch_stage(objects, at, folder / name, progress)
        _fetch_files(objects, place, manifest, folder)
    for label in runs:
        fetch(f"{objects.address}/{label}", folder / label, progress=progress)


def _check_same_run(folder: Path, manifest: Mapping[str, Any], address: str) -> None:
    settings = folder / SETTINGS
    stored = manifest["files"].get(SETTINGS, {}).get("sha256")
    if settings.is_file() and sha256(settings) != stored:
        raise DataError(f"{folder} holds a run with other settings than {address}: choose another")


def _fetch_stage(objects: Objects, place: str, folder: Path, progress: Progress) -> None:
    manifest = read_stored(objects, place)
    stage = Stage(folder, manifest["inputs"])
    stage.recover()
    if stage.finished():
        return
    restore(objects, place, manifest, stage)
    progress.say(f"{folder}: fetched, {len(manifest['files'])} files")


def _fetch_files(objects: Objects, place: str, manifest: Mapping[str, Any], folder: Path) -> None:
    partial = folder / f".{_RUN}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    receive(objects, place, manifest, partial)
    # The settings last: a folder without them is not taken for a run's.
    for name in sorted(manifest["files"], key=lambda name: name == SETTINGS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, (partial / name).read_bytes())
    shutil.rmtree(partial)


def _about(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}
