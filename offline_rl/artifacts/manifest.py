"""`stage.json`: what a stage was made from, and the size and checksum of each of its files."""

import json
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, JsonValue, ValidationError

from data_gen.cards.origin import Sha256
from data_gen.store.atomic_files import sha256
from data_gen.types import DataError
from offline_rl.artifacts.checksums import parse_checksummed
from offline_rl.artifacts.records import ChecksummedRecord, StrictModel

MANIFEST = "stage.json"
INPUTS = "inputs.json"
FORMAT: Final = 2
"""Of the files that a stage holds; a folder of another format is refused. 0.3 wrote none."""


def relative_name(name: str) -> str:
    """A path that stays inside of its folder and hides from nobody. Raises ValueError."""
    parts = PurePosixPath(name).parts
    plain = all(part.isprintable() and not part.startswith((".", "/")) for part in parts)
    if not parts or not plain or "\\" in name or "/".join(parts) != name:
        raise ValueError(f"{name!a} is not the name of a file")
    return name


def _of_a_stage(name: str) -> str:
    if name in (MANIFEST, INPUTS):
        raise ValueError(f"{name} is not a file of a stage")
    return relative_name(name)


class FileEntry(StrictModel):
    """What a manifest says of a file."""

    bytes: int = Field(ge=0)
    sha256: Sha256

    @classmethod
    def at(cls, path: Path) -> "FileEntry":
        return cls(bytes=path.stat().st_size, sha256=sha256(path))


class FileListing(ChecksummedRecord):
    """Files by their paths in a folder."""

    FILE = MANIFEST

    files: dict[str, FileEntry]


class StageManifest(FileListing):
    """`inputs` are all that the result depends on; `dropped` are files deleted since, with their
    checksums; `uncounted` names files that no digest counts, for they hold clock readings."""

    format: Literal[2]
    inputs: dict[str, JsonValue]
    files: dict[Annotated[str, AfterValidator(_of_a_stage)], FileEntry]
    dropped: dict[str, Sha256] = Field(default_factory=dict)
    uncounted: list[str] = Field(default_factory=list)

    def without(self, names: set[str]) -> "StageManifest":
        """With these of its files among the dropped ones."""
        gone = {name: file.sha256 for name, file in self.files.items() if name in names}
        kept = {name: file for name, file in self.files.items() if name not in names}
        return self.model_copy(update={"files": kept, "dropped": {**self.dropped, **gone}})


def read_manifest(folder: Path) -> StageManifest | None:
    """The manifest in `folder`; None where there is none, or a damaged one.

    Raises DataError for a stage that another version wrote in another format.
    """
    try:
        value = parse_checksummed((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    if value is None:
        return None
    check_version(value, str(folder))
    return checked_manifest(value, str(folder / MANIFEST))


def checked_manifest(value: Any, where: str) -> StageManifest:
    """`value` as a manifest. Raises DataError naming `where` it stands and the field."""
    try:
        return StageManifest.model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
        path = ".".join(map(str, fault["loc"]))
        raise DataError(f"{where}: {path}: {fault['msg']}") from error


def check_version(value: Any, where: str) -> None:
    """Raises DataError for what another version wrote in another format."""
    found = value.get("format") if isinstance(value, dict) else None
    if found != FORMAT:
        older = isinstance(found, int) and found < FORMAT
        version = "0.3 or older" if found is None else "an older one" if older else "a newer one"
        raise DataError(
            f"{where}: written by another version of offline-rl ({version}), whose run folders"
            " this version does not read: run the experiment into a new folder (--out); rollouts"
            " can be imported (--rollouts)"
        )


def check_format(folder: Path) -> None:
    """Raises DataError for the folder of a run with a stage, finished or begun, of another version.

    A damaged one is passed over: its own stage says so.
    """
    for manifest in folder.rglob(MANIFEST):
        read_manifest(manifest.parent)
    for inputs in folder.rglob(f"*.partial/{INPUTS}"):
        try:
            value = json.loads(inputs.read_bytes())
        except ValueError:
            continue
        if isinstance(value, dict) and "inputs" not in value:
            check_version(value, str(inputs))
