"""Manifests as they come from a store: anybody who may write there may have made them."""

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from data_gen.types import DataError
from offline_rl.artifacts.checksums import sealed, unsealed
from offline_rl.artifacts.object_store.objects import Objects
from offline_rl.artifacts.stage import INPUTS, MANIFEST


def inside(name: str) -> str:
    """A path that stays inside of its folder and hides from nobody."""
    parts = PurePosixPath(name).parts
    plain = all(part.isprintable() and not part.startswith((".", "/")) for part in parts)
    if not parts or not plain or "\\" in name or "/".join(parts) != name:
        raise ValueError(f"{name!a} is no name of a file")
    return name


def _of_a_stage(name: str) -> str:
    if name in (MANIFEST, INPUTS):
        raise ValueError(f"{name} is no file of a stage")
    return inside(name)


_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """JSON of just this shape."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class File(Strict):
    """What a manifest says of a file."""

    bytes: int = Field(ge=0)
    sha256: _Sha256


class StageManifest(Strict):
    """As `Stage.work` writes it."""

    format: Literal[1]
    inputs: dict[str, Any]
    files: dict[Annotated[str, AfterValidator(_of_a_stage)], File]
    dropped: dict[str, _Sha256] = {}


def content_of(manifest: Mapping[str, Any]) -> str:
    """The hash in the name of what a manifest lists."""
    return hashlib.sha256(sealed(manifest).encode()).hexdigest()[:16]


def read_stored(objects: Objects, place: str, kind: type[Strict]) -> dict[str, Any]:
    """The manifest at a place. Raises DataError where it is missing, damaged, or leads outside."""
    at = f"{objects.address}/{place}/{MANIFEST}"
    text = objects.read(f"{place}/{MANIFEST}")
    if text is None:
        raise DataError(f"{at} is missing")
    manifest = unsealed(text)
    if manifest is None or content_of(manifest) != place.rpartition("/")[2]:
        raise DataError(f"{at} is damaged")
    try:
        kind.model_validate(manifest)
    except ValidationError as error:
        reason = " ".join(error.errors()[0]["msg"].split())
        raise DataError(f"{at} is not what offline-rl writes: {reason}") from error
    return manifest
