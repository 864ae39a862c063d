"""A finished stage as its `stage.json` describes it, whatever settings made it."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from data_gen.store.atomic_files import sha256
from offline_rl.artifacts.atomic import write_atomically
from offline_rl.artifacts.checksums import DamagedArtifact, digest
from offline_rl.artifacts.manifest import MANIFEST, StageManifest, read_manifest
from offline_rl.artifacts.records import Record

_WEIGHTS = ".safetensors"
R = TypeVar("R", bound=Record)


class PublishedStage:
    """Reads a stage's folder. The manifest is read, and each file hashed, at most once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._damage: dict[bool, str | None] = {}

    @cached_property
    def manifest(self) -> StageManifest | None:
        """None where nothing whole is published. Raises DataError for another version's format."""
        return read_manifest(self.folder)

    def require_manifest(self) -> StageManifest:
        """The manifest. Raises FileNotFoundError where nothing whole is published."""
        if self.manifest is None:
            raise FileNotFoundError(f"{self.folder}: this stage is not finished")
        return self.manifest

    def damage(self, *, weights: bool = False) -> str | None:
        """The first file that no longer holds what was published, in words; None where all do.

        Weights are large, and only looked at where `weights` says that they are to be used.
        """
        if weights not in self._damage:
            self._damage[weights] = self._first_damage(weights)
        return self._damage[weights]

    def digest(self) -> str:
        """A hash of what the stage holds or held, clock readings aside."""
        manifest = self.require_manifest()
        files = {name: file.sha256 for name, file in manifest.files.items()} | manifest.dropped
        return digest({n: f for n, f in files.items() if n not in manifest.uncounted})

    def has_dropped(self) -> bool:
        """Whether `drop` has taken files away."""
        return self.manifest is not None and bool(self.manifest.dropped)

    def inputs_digest(self) -> str | None:
        """A hash of what the stage was made from; None where nothing whole is published."""
        return None if self.manifest is None else digest(self.manifest.inputs)

    def holds(self, kind: type[Record]) -> bool:
        """Whether such a record is there, whole or damaged."""
        return (self.folder / kind.FILE).is_file()

    def read(self, kind: type[R]) -> R:
        """One of its records. Raises DamagedArtifact where it is not what was written."""
        path = self.folder / kind.FILE
        if self.manifest is None or kind.FILE not in self.manifest.files:
            raise DamagedArtifact(
                f"{path}: {MANIFEST} beside it is missing or damaged: run it again"
            )
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.manifest.files[kind.FILE].sha256:
            raise DamagedArtifact(
                f"{path} is damaged: it does not hold what was written: run it again"
            )
        return kind.parse(content, path)

    def without_weights(self) -> StageManifest:
        """The manifest as if weights had been dropped. Raises as `require_manifest`."""
        manifest = self.require_manifest()
        return manifest.without({name for name in manifest.files if name.endswith(_WEIGHTS)})

    def drop(self, pattern: str) -> None:
        """Deletes files no longer wanted; the stage stays finished, with the same digest."""
        doomed = [path for path in sorted(self.folder.glob(pattern)) if path.is_file()]
        if self.manifest is None or not doomed:
            return
        # A drop that was killed may have taken some out of the list and not off the disk.
        left = self.manifest.without({str(path.relative_to(self.folder)) for path in doomed})
        write_atomically(self.folder / MANIFEST, left.text())
        for path in doomed:
            path.unlink()
        self.__dict__["manifest"] = left

    def _first_damage(self, weights: bool) -> str | None:
        if self.manifest is None:
            there = (self.folder / MANIFEST).exists()
            return f"{MANIFEST} is damaged: it does not hold what was written" if there else None
        for name, file in self.manifest.files.items():
            path = self.folder / name
            if path.suffix == _WEIGHTS and not weights:
                continue
            try:
                same = sha256(path) == file.sha256
            except OSError as error:
                return f"{name} cannot be read ({error.strerror})"
            if not same:
                return f"{name} is damaged: it does not hold what was written"
        return None
