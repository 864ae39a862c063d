"""A stage's folder: whole or absent, and done again only when what it depends on has changed."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_gen.store.atomic_files import sync
from offline_rl.artifacts.atomic import disk_errors_name, remove_temporaries, write_atomically
from offline_rl.artifacts.checksums import first_change, plain
from offline_rl.artifacts.manifest import (
    FORMAT,
    INPUTS,
    MANIFEST,
    FileEntry,
    StageManifest,
    checked_manifest,
    read_manifest,
)
from offline_rl.artifacts.published_stage import PublishedStage


@dataclass(frozen=True)
class Stage:
    """A folder that `work` fills once for given `inputs`.

    `inputs` are JSON values that say all the result depends on: settings, digests of what is read,
    versions. `uncounted` names files that no digest counts, for they hold clock readings.
    """

    folder: Path
    inputs: Mapping[str, Any]
    uncounted: Sequence[str] = ()

    @property
    def published(self) -> PublishedStage:
        """What is in the folder now, whatever inputs it was made with."""
        return PublishedStage(self.folder)

    @property
    def partial(self) -> Path:
        """Where the stage is at work; left behind by a killed process, to go on from."""
        return self.folder.with_name(f"{self.folder.name}.partial")

    def finished(self) -> bool:
        return self.why_not_finished() is None

    def why_not_finished(self) -> str | None:
        """None for a whole stage with these inputs, else what is missing or has changed."""
        published = self.published
        manifest = published.manifest
        if manifest is None:
            return published.damage() or "not done yet"
        change = first_change(manifest.inputs, plain(self.inputs))
        if change is not None:
            return change
        for name, file in manifest.files.items():
            path = self.folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != file.bytes:
                return f"{name} has {path.stat().st_size} bytes instead of {file.bytes}"
        return published.damage()

    def conflict(self) -> str | None:
        """How these inputs differ from those of what is finished or begun; None where nothing is.

        For a caller that would rather refuse than do the stage again.
        """
        manifest = read_manifest(self.folder)
        if manifest is not None:
            return first_change(manifest.inputs, plain(self.inputs))
        begun = self.partial / INPUTS
        if not begun.is_file():
            return None
        try:
            inputs = json.loads(begun.read_bytes())["inputs"]
        except (ValueError, LookupError, TypeError):
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
                name = path.relative_to(partial)
                # Systems leave files with a dot, such as .nfs0001, which are nobody's result.
                is_hidden = any(part.startswith(".") for part in name.parts)
                if path.is_file() and path != partial / INPUTS and not is_hidden:
                    sync(path)
                    files[str(name)] = FileEntry.at(path).model_dump()
            made_with = {"format": FORMAT, "inputs": plain(self.inputs)}
            manifest = checked_manifest(
                {**made_with, "files": files, "uncounted": list(self.uncounted)}, str(partial)
            )
            write_atomically(partial / MANIFEST, manifest.text())
            self._publish()

    @contextmanager
    def restoring(self, manifest: StageManifest) -> Iterator[Path]:
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
                write_atomically(self._taken / MANIFEST, manifest.text())
                shutil.rmtree(self.partial, ignore_errors=True)
                os.replace(self._taken, self.partial)
            finally:
                shutil.rmtree(self._taken, ignore_errors=True)
            self._publish()

    def recover(self) -> None:
        """Finishes the publishing that a killed process had begun, and clears what it left."""
        manifest = read_manifest(self.partial)
        if manifest is not None and manifest.inputs == plain(self.inputs):
            self._publish()
        for left in (self._old, self._taken):
            shutil.rmtree(left, ignore_errors=True)
        remove_temporaries(self.folder)

    def _begin(self) -> None:
        partial, inputs = self.partial, self.partial / INPUTS
        begun = {"format": FORMAT, "inputs": plain(self.inputs)}
        text = json.dumps(begun, indent=1, sort_keys=True) + "\n"
        if not inputs.is_file() or inputs.read_bytes() != text.encode():
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            write_atomically(inputs, text)
        # What killed processes were writing; libraries too give such files a dot.
        for path in partial.rglob(".*"):
            if path.is_file():
                path.unlink()

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
