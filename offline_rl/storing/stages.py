"""Finished stages by what they were made from: put once, taken by whoever needs the same."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from data_gen.types import DataError
from offline_rl.sealing import sealed, unsealed
from offline_rl.stages import MANIFEST, Stage, digest, sha256
from offline_rl.storing.objects import Objects

FIRST = "first.json"
_CONTENT = re.compile(r"[0-9a-f]{16}")


class StageStore:
    """The stages of a run below an address.

    A stage lies at NAME/KEY/CONTENT: its path in the run's folder, a hash of its inputs, a hash of
    what it holds. Its files are sent first and its manifest last, so that a reader finds all of it
    or nothing; nothing is ever replaced. Beside the contents of one key stands which was there
    first, by a put that only one process can win; that one is what others take.
    """

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.places: dict[str, str] = {}
        """Where the stages of this run lie, by name."""

    def put(self, stage: Stage, name: str, *, to_take: bool = True) -> None:
        """Sends a finished stage, its weights aside, unless it is there already."""
        manifest = stage.manifest_without_weights()
        key = f"{name}/{_key(stage)}"
        content = content_of(manifest)
        send(self.objects, f"{key}/{content}", stage.folder, manifest)
        if to_take:
            self.objects.create(f"{key}/{FIRST}", sealed({"content": content}))
        self.places[name] = f"{key}/{content}"

    def take(self, stage: Stage, name: str) -> bool:
        """Publishes in the stage's folder what was put first for its inputs; False without it.

        Raises DataError where that is damaged.
        """
        key = f"{name}/{_key(stage)}"
        content = pointed_at(self.objects, f"{key}/{FIRST}")
        if content is None:
            return False
        place = f"{key}/{content}"
        manifest = read_stored(self.objects, place)
        if digest(manifest["inputs"]) != digest(stage.inputs):
            raise DataError(f"{self.objects.address}/{place} was made from something else")
        restore(self.objects, place, manifest, stage)
        self.places[name] = place
        return True


def content_of(manifest: Mapping[str, Any]) -> str:
    """The hash in the name of what a manifest lists."""
    return hashlib.sha256(sealed(manifest).encode()).hexdigest()[:16]


def send(objects: Objects, place: str, folder: Path, manifest: Mapping[str, Any]) -> None:
    """Puts the files that a manifest lists, and then the manifest."""
    if objects.read(f"{place}/{MANIFEST}") is not None:
        return
    for name in manifest["files"]:
        objects.send(folder / name, f"{place}/{name}")
    objects.create(f"{place}/{MANIFEST}", sealed(manifest))


def pointed_at(objects: Objects, name: str) -> str | None:
    """The content that a pointer names; None without a pointer. Raises DataError for a bad one."""
    text = objects.read(name)
    if text is None:
        return None
    content = (unsealed(text) or {}).get("content")
    if not isinstance(content, str) or not _CONTENT.fullmatch(content):
        raise DataError(f"{objects.address}/{name} is damaged")
    return content


def read_stored(objects: Objects, place: str) -> dict[str, Any]:
    """The manifest at a place. Raises DataError where it is missing, damaged, or leads outside."""
    text = objects.read(f"{place}/{MANIFEST}")
    manifest = None if text is None else unsealed(text)
    if manifest is None or content_of(manifest) != place.rpartition("/")[2]:
        state = "is missing" if text is None else "is damaged"
        raise DataError(f"{objects.address}/{place}/{MANIFEST} {state}")
    for name in manifest["files"]:
        check_inside(name)
    return manifest


def restore(objects: Objects, place: str, manifest: Mapping[str, Any], stage: Stage) -> None:
    """Publishes the files of a place in a stage's folder."""
    with stage.restoring(manifest) as folder:
        receive(objects, place, manifest, folder)


def receive(objects: Objects, place: str, manifest: Mapping[str, Any], folder: Path) -> None:
    """Fetches the files that a manifest lists. Raises DataError where one is not what was sent."""
    for name, file in manifest["files"].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            objects.receive(f"{place}/{name}", folder / name)
        except FileNotFoundError as error:
            raise DataError(f"{objects.address}/{place}/{name} is missing") from error
        if sha256(folder / name) != file["sha256"]:
            raise DataError(f"{objects.address}/{place}/{name} is damaged")


def check_inside(name: str) -> None:
    """Raises DataError for the name of a file that would lie outside of its folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise DataError(f"{json.dumps(name)} in the store is no name of a file")


def _key(stage: Stage) -> str:
    return digest(stage.inputs)[:16]
