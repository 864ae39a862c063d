"""A whole run in an object store: what it was made with, its report, and where its stages lie."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from data_gen.store.atomic_files import sha256
from data_gen.types import DataError
from offline_rl.artifacts.atomic import write_atomically
from offline_rl.artifacts.checksums import checksummed_text
from offline_rl.artifacts.layout import (
    REPORT,
    SETTINGS,
    holds_checkpoint_evaluations,
)
from offline_rl.artifacts.lock import locked
from offline_rl.artifacts.manifest import (
    MANIFEST,
    FileEntry,
    FileListing,
    StageManifest,
    read_manifest,
    relative_name,
)
from offline_rl.artifacts.object_store.objects import Objects
from offline_rl.artifacts.object_store.read_stored import content_of, read_stored
from offline_rl.artifacts.object_store.stage_store import (
    StageStore,
    pointed_at,
    receive,
    restore,
    send,
)
from offline_rl.artifacts.records import CurrentStages, Environment, StrictModel, Trials
from offline_rl.artifacts.stage import Stage
from offline_rl.progress import Progress

LATEST = "run.json"
_RUN = "run"
_FILES = (SETTINGS, Environment.FILE, CurrentStages.FILE, f"sweep/{Trials.FILE}")
_STAGES = (
    *("rollouts", "dataset", "behaviour", "budget", "overlap"),
    *("sweep/*/*", "models/*/*", "evaluations/*/*/*"),
)


def _stage(name: str) -> str:
    if not any(_fits(name, pattern) for pattern in _STAGES):
        raise ValueError(f"{name!a} is no stage of a run")
    return relative_name(name)


def _fits(name: str, pattern: str) -> bool:
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and parts[0] == wanted[0]


def _file(name: str) -> str:
    if name not in _FILES and not _fits(name, f"{REPORT}/*"):
        raise ValueError(f"{name!a} is no file of a run")
    return relative_name(name)


_Name = Annotated[str, AfterValidator(relative_name)]


class _Stored(StrictModel):
    stages: dict[Annotated[str, AfterValidator(_stage)], _Name]
    runs: list[_Name]


class RunManifest(FileListing):
    """Of settings and report of a run, with the places of its stages and the runs inside."""

    inputs: _Stored
    files: dict[Annotated[str, AfterValidator(_file)], FileEntry]


def put_snapshot(store: StageStore, folder: Path, runs: Sequence[str] = ()) -> None:
    """Sends what is finished in a run's folder, and then makes it the latest.

    `runs` names folders inside of this one with runs of their own, stored below this address by the
    same names.
    """
    report = sorted(f"{REPORT}/{path.name}" for path in (folder / REPORT).glob("[!.]*"))
    wanted = [*_FILES, *report]
    there = [name for name in wanted if (folder / name).is_file()]
    places = {name: store.put(stage, name) for name, stage in _finished(folder)}
    manifest = RunManifest(
        inputs=_Stored(stages=places, runs=list(runs)),
        files={name: FileEntry.at(folder / name) for name in there},
    )
    content = content_of(manifest.text())
    send(store.objects, f"{_RUN}/{content}", folder, manifest)
    store.objects.write(LATEST, checksummed_text({"content": content}))


def fetch(address: str, folder: Path, *, progress: Progress) -> None:
    """Makes a run's folder of what is stored at an address; what is there of that run stays.

    Where weights are not stored, a run that needs them trains again. Raises DataError where no
    run is stored, one is damaged, or the folder holds something else: then nothing is changed.
    """
    objects = Objects(address)
    content = pointed_at(objects, LATEST)
    if content is None:
        raise DataError(
            f"{address}: no run has ended here (offline-rl run with this store goes on with one"
            " that was lost)"
        )
    place = f"{_RUN}/{content}"
    manifest = read_stored(objects, place, RunManifest)
    stages = {
        name: (at, read_stored(objects, at, StageManifest))
        for name, at in manifest.inputs.stages.items()
    }
    with locked(folder):
        _check_same_run(folder, manifest, address)
        missing = {name: one for name, one in stages.items() if _is_missing(folder / name, one[1])}
        for name, (at, listed) in missing.items():
            restore(objects, at, listed, Stage(folder / name, listed.inputs))
            progress.say(f"{name}: fetched, {len(listed.files)} files")
        _fetch_files(objects, place, manifest, folder)
    for label in manifest.inputs.runs:
        fetch(f"{objects.address}/{label}", folder / label, progress=progress)


def _finished(folder: Path) -> Iterator[tuple[str, Stage]]:
    """The whole stages in a run's folder, by name."""
    for pattern in _STAGES:
        for path in sorted(folder.glob(f"{pattern}/{MANIFEST}")):
            manifest = read_manifest(path.parent)
            if manifest is None or path.parent.suffix in (".partial", ".old", ".taken"):
                continue
            stage = Stage(path.parent, manifest.inputs)
            if stage.finished():
                yield str(path.parent.relative_to(folder)), stage


def _check_same_run(folder: Path, manifest: RunManifest, address: str) -> None:
    settings = folder / SETTINGS
    stored = manifest.files.get(SETTINGS)
    other = settings.is_file() and (stored is None or sha256(settings) != stored.sha256)
    if other or holds_checkpoint_evaluations(folder):
        raise DataError(f"{folder} holds a run with other settings than {address}: choose another")


def _is_missing(folder: Path, manifest: StageManifest) -> bool:
    """Whether a stage is to be fetched. Raises DataError where it would take another's place."""
    stage = Stage(folder, manifest.inputs)
    stage.recover()
    if stage.finished():
        return False
    conflict = stage.conflict()
    if conflict is not None:
        raise DataError(f"{folder} was made otherwise here ({conflict}): fetch into another folder")
    if folder.exists() and not (folder / MANIFEST).exists():
        raise DataError(f"{folder} is in the way: fetch into another folder")
    return True


def _fetch_files(objects: Objects, place: str, manifest: RunManifest, folder: Path) -> None:
    partial = folder / f".{_RUN}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        receive(objects, place, manifest, partial)
        # The settings last: a folder without them is not taken for a run's.
        for name in sorted(manifest.files, key=lambda name: name == SETTINGS):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if name == CurrentStages.FILE:
                _add_known(partial, folder)
            else:
                write_atomically(folder / name, (partial / name).read_bytes())
    finally:
        shutil.rmtree(partial)


def _add_known(fetched: Path, folder: Path) -> None:
    """Writes the fetched record of stages, with what a run in this folder knew of the others."""
    record = CurrentStages.read(fetched)
    if (folder / CurrentStages.FILE).is_file():
        here = CurrentStages.read(folder)
        if here.settings == record.settings:
            record = record.model_copy(update={"stages": {**record.stages, **here.stages}})
    record.write(folder)
