"""A stage's folder: whole or absent, and done again only when what it depends on has changed."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_gen.store.atomic_files import sha256, sync
from data_gen.types import DataError
from offline_rl.artifacts.atomic import disk_errors_name, remove_temporaries, write_atomically
from offline_rl.artifacts.checksums import digest, first_change, plain, sealed, unsealed

MANIFEST = "stage.json"
INPUTS = "inputs.json"
FAILURE = "failure.json"
"""Why a stage holds nothing else."""
FORMAT = 1
"""Of the files that a stage holds; a folder of another format is refused. 0.3 wrote none."""
_WEIGHTS = ".safetensors"


@dataclass(frozen=True)
class Stage:
    """A folder that `work` fills once for given `inputs`.

    `inputs` are JSON values that say all the result depends on: settings, digests of what is read,
    versions. `beside` names files that do not count in `digest`, for they hold clock readings.
    """

    folder: Path
    inputs: Mapping[str, Any]
    beside: Sequence[str] = ()

    @property
    def partial(self) -> Path:
        """Where the stage is at work; left behind by a killed process, to go on from."""
        return self.folder.with_name(f"{self.folder.name}.partial")

    def finished(self) -> bool:
        return self.why_not_finished() is None

    def why_not_finished(self) -> str | None:
        """None for a whole stage with these inputs, else what is missing or has changed."""
        manifest = read_manifest(self.folder)
        if manifest is None:
            return self.damage() or "not done yet"
        change = first_change(manifest["inputs"], plain(self.inputs))
        if change is not None:
            return change
        for name, file in manifest["files"].items():
            path = self.folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != file["bytes"]:
                return f"{name} has {path.stat().st_size} bytes instead of {file['bytes']}"
        return self.damage()

    def damage(self, *, weights: bool = False) -> str | None:
        """The first file that no longer holds what was published, in words; None where all do.

        Weights are large, and only looked at where `weights` says that they are to be used.
        """
        manifest = read_manifest(self.folder)
        if manifest is None:
            there = (self.folder / MANIFEST).exists()
            return f"{MANIFEST} is damaged: it does not hold what was written" if there else None
        for name, file in manifest["files"].items():
            path = self.folder / name
            if path.suffix == _WEIGHTS and not weights:
                continue
            try:
                same = sha256(path) == file["sha256"]
            except OSError as error:
                return f"{name} cannot be read ({error.strerror})"
            if not same:
                return f"{name} is damaged: it does not hold what was written"
        return None

    def conflict(self) -> str | None:
        """How these inputs differ from those of what is finished or begun; None where nothing is.

        For a caller that would rather refuse than do the stage again.
        """
        manifest = read_manifest(self.folder)
        if manifest is not None:
            return first_change(manifest["inputs"], plain(self.inputs))
        begun = self.partial / INPUTS
        if not begun.is_file():
            return None
        try:
            inputs = json.loads(begun.read_bytes())
        except ValueError:
            return f"{begun.name} of {self.partial.name} is damaged"
        return first_change(inputs, plain(self.inputs))

    @contextmanager
    def work(self) -> Iterator[Path]:
        """Gives the folder to fill, with what an interrupted run of the same inputs left in it.

        When the block ends without an exception the folder is published whole, in place of an
        earlier one.
        """
        partial = self.partial
        with disk_errors_name(partial):
            self._begin()
            yield partial
            files = {}
            for path in sorted(partial.rglob("*")):
                if path.is_file() and path != partial / INPUTS:
                    sync(path)
                    name = str(path.relative_to(partial))
                    files[name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
            manifest = {"format": FORMAT, "inputs": plain(self.inputs), "files": files}
            write_atomically(partial / MANIFEST, sealed(manifest))
            self._publish()

    @contextmanager
    def restoring(self, manifest: Mapping[str, Any]) -> Iterator[Path]:
        """Gives an empty folder for the files of a `manifest` that was published elsewhere.

        When the block ends without an exception they are published in place of an earlier stage,
        or of one at work; with one, both stay as they were.
        """
        with disk_errors_name(self._taken):
            shutil.rmtree(self._taken, ignore_errors=True)
            self._taken.mkdir(parents=True)
            try:
                yield self._taken
                for path in self._taken.rglob("*"):
                    if path.is_file():
                        sync(path)
                write_atomically(self._taken / MANIFEST, sealed(manifest))
                shutil.rmtree(self.partial, ignore_errors=True)
                os.replace(self._taken, self.partial)
            finally:
                shutil.rmtree(self._taken, ignore_errors=True)
            self._publish()

    def _begin(self) -> None:
        partial, inputs = self.partial, self.partial / INPUTS
        text = json.dumps(plain(self.inputs), indent=1, sort_keys=True) + "\n"
        if not inputs.is_file() or inputs.read_bytes() != text.encode():
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            write_atomically(inputs, text)
        # What killed processes were writing; libraries too give such files a dot.
        for path in partial.rglob(".*"):
            if path.is_file():
                path.unlink()

    def recover(self) -> None:
        """Finishes the publishing that a killed process had begun, and clears what it left."""
        manifest = read_manifest(self.partial)
        if manifest is not None and manifest["inputs"] == plain(self.inputs):
            self._publish()
        for left in (self._old, self._taken):
            shutil.rmtree(left, ignore_errors=True)
        remove_temporaries(self.folder)

    def digest(self) -> str:
        """A hash of what the stage holds, clock readings aside."""
        manifest = self._published()
        files = {n: f["sha256"] for n, f in manifest["files"].items() if n not in self.beside}
        files |= {n: f for n, f in manifest.get("dropped", {}).items() if n not in self.beside}
        return digest(files)

    def dropped(self) -> bool:
        """Whether `drop` has taken files away."""
        return bool((read_manifest(self.folder) or {}).get("dropped"))

    def manifest(self, *, weights: bool) -> dict[str, Any]:
        """What the stage published; without `weights` as if those had been dropped."""
        manifest = self._published()
        if not weights:
            _take_out(manifest, [name for name in manifest["files"] if name.endswith(_WEIGHTS)])
        return manifest

    def drop(self, pattern: str) -> None:
        """Deletes files no longer wanted; the stage stays finished, with the same digest."""
        manifest = read_manifest(self.folder)
        if manifest is None:
            return
        doomed = [path for path in sorted(self.folder.glob(pattern)) if path.is_file()]
        if not doomed:
            return
        _take_out(manifest, [str(path.relative_to(self.folder)) for path in doomed])
        write_atomically(self.folder / MANIFEST, sealed(manifest))
        for path in doomed:
            path.unlink()

    def _published(self) -> dict[str, Any]:
        manifest = read_manifest(self.folder)
        if manifest is None:
            raise FileNotFoundError(f"{self.folder}: this stage is not finished")
        return manifest

    def _publish(self) -> None:
        (self.partial / INPUTS).unlink(missing_ok=True)
        shutil.rmtree(self._old, ignore_errors=True)
        if self.folder.exists():
            os.replace(self.folder, self._old)
        os.replace(self.partial, self.folder)
        sync(self.folder.parent)
        shutil.rmtree(self._old, ignore_errors=True)

    @property
    def _old(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.old")

    @property
    def _taken(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.taken")


def _take_out(manifest: dict[str, Any], names: Sequence[str]) -> None:
    """Moves files of a manifest to those that were dropped."""
    # A drop that was killed may have taken some out of the list and not off the disk.
    found = [name for name in names if name in manifest["files"]]
    if found:
        dropped = manifest.setdefault("dropped", {})
        dropped.update({name: manifest["files"].pop(name)["sha256"] for name in found})


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What `work` published in `folder`; None where there is nothing whole.

    Raises DataError for a stage that another version wrote in another format.
    """
    try:
        manifest = unsealed((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    if manifest is not None and manifest.get("format") != FORMAT:
        version = "0.3 or older" if "format" not in manifest else "a newer one"
        raise DataError(
            f"{folder}: written by another version of offline-rl ({version}), whose run folders"
            " this version does not read: run the experiment into a new folder (--out); rollouts"
            " can be imported (--rollouts)"
        )
    return manifest


def check_format(folder: Path) -> None:
    """Raises DataError for the folder of a run whose stages another version wrote."""
    stage = next(folder.rglob(MANIFEST), None)
    if stage is not None:
        read_manifest(stage.parent)


def read_published(folder: Path, name: str) -> Any:
    """The JSON in a file of a finished stage. Raises DataError where it is not what was written."""
    path = folder / name
    manifest = read_manifest(folder)
    if manifest is None or name not in manifest["files"]:
        raise DataError(f"{path}: {MANIFEST} beside it is missing or damaged: run it again")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest["files"][name]["sha256"]:
        raise DataError(f"{path} is damaged: it does not hold what was written: run it again")
    return json.loads(content)


def holds(folder: Path, inputs: Mapping[str, Any]) -> bool:
    """Whether a whole stage stands in `folder` that was made with these inputs, others aside."""
    manifest = read_manifest(folder)
    if manifest is None:
        return False
    made_with = {name: manifest["inputs"].get(name) for name in inputs}
    return first_change(made_with, plain(inputs)) is None
