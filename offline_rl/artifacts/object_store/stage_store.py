"""Finished stages by what they were made from: put once, taken by whoever needs the same."""

import re
from pathlib import Path

from data_gen.store.atomic_files import sha256
from offline_rl.artifacts.checksums import (
    DamagedArtifact,
    checksummed_text,
    digest,
    parse_checksummed,
)
from offline_rl.artifacts.manifest import MANIFEST, FileListing, StageManifest
from offline_rl.artifacts.object_store.objects import Objects
from offline_rl.artifacts.object_store.read_stored import content_of, read_stored
from offline_rl.artifacts.records import TrainingFailure
from offline_rl.artifacts.stage import Stage

FIRST = "first.json"
_CONTENT = re.compile(r"[0-9a-f]{16}")


class StageStore:
    """The stages of a run below an address.

    A stage lies at NAME/KEY/CONTENT: its path in the run's folder, a hash of its inputs, a hash of
    what it holds. Its files are sent first and its manifest last, so that a reader finds all of it
    or nothing; nothing whole is ever replaced. Beside the contents of one key stands which was
    there first, by a put that only one process can win; that one is what others take.
    """

    def __init__(self, objects: Objects, *, weights: bool = False) -> None:
        """With `weights` those of trained policies are put as well."""
        self.objects = objects
        self._weights = weights
        self._damaged: set[str] = set()

    def put(self, stage: Stage, name: str) -> str:
        """Sends a finished stage unless it is there; returns its place.

        What `take` has found damaged is mended. A failure is kept, and not for others to take.
        """
        published = stage.published
        manifest = published.require_manifest() if self._weights else published.without_weights()
        key = f"{name}/{_key(stage)}"
        content = content_of(manifest.text())
        mend = key in self._damaged
        send(self.objects, f"{key}/{content}", stage.folder, manifest, again=mend)
        if not published.holds(TrainingFailure):
            put = self.objects.write if mend else self.objects.create
            put(f"{key}/{FIRST}", checksummed_text({"content": content}))
        self._damaged.discard(key)
        return f"{key}/{content}"

    def take(self, stage: Stage, name: str) -> bool:
        """Publishes in the stage's folder what was put first for its inputs; False without it.

        Raises DamagedArtifact where that is damaged.
        """
        key = f"{name}/{_key(stage)}"
        try:
            content = pointed_at(self.objects, f"{key}/{FIRST}")
            if content is None:
                return False
            place = f"{key}/{content}"
            manifest = read_stored(self.objects, place, StageManifest)
            if digest(manifest.inputs) != digest(stage.inputs):
                raise DamagedArtifact(
                    f"{self.objects.address}/{place} was made from something else"
                )
            restore(self.objects, place, manifest, stage)
        except DamagedArtifact:
            self._damaged.add(key)
            raise
        return True


def send(
    objects: Objects, place: str, folder: Path, manifest: FileListing, *, again: bool = False
) -> None:
    """Puts the files that a manifest lists, and then the manifest, unless that is there.

    With `again` all of it replaces what is there.
    """
    text, at = manifest.text(), f"{place}/{MANIFEST}"
    if not again and objects.read(at) == text.encode():
        return
    for name in manifest.files:
        objects.send(folder / name, f"{place}/{name}")
    if again or not objects.create(at, text):
        # Under the hash of its content there is this manifest, or a damaged one.
        objects.write(at, text)


def pointed_at(objects: Objects, name: str) -> str | None:
    """The content that a pointer names; None without a pointer. Raises DamagedArtifact."""
    text = objects.read(name)
    if text is None:
        return None
    content = (parse_checksummed(text) or {}).get("content")
    if not isinstance(content, str) or not _CONTENT.fullmatch(content):
        raise DamagedArtifact(f"{objects.address}/{name} is damaged")
    return content


def restore(objects: Objects, place: str, manifest: StageManifest, stage: Stage) -> None:
    """Publishes the files of a place in a stage's folder."""
    with stage.restoring(manifest) as folder:
        receive(objects, place, manifest, folder)


def receive(objects: Objects, place: str, manifest: FileListing, folder: Path) -> None:
    """Fetches the files that a manifest lists. Raises DamagedArtifact: one is not what was sent."""
    for name, file in manifest.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            objects.receive(f"{place}/{name}", path)
        except FileNotFoundError as error:
            raise DamagedArtifact(f"{objects.address}/{place}/{name} is missing") from error
        if path.stat().st_size != file.bytes or sha256(path) != file.sha256:
            raise DamagedArtifact(f"{objects.address}/{place}/{name} is damaged")


def _key(stage: Stage) -> str:
    return digest(stage.inputs)[:16]
