"""Manifests as they come from a store: anybody who may write there may have made them."""

import hashlib
from typing import TypeVar

from pydantic import ValidationError

from offline_rl.artifacts.checksums import DamagedArtifact, parse_checksummed
from offline_rl.artifacts.manifest import MANIFEST, FileListing, StageManifest, check_version
from offline_rl.artifacts.object_store.objects import Objects

M = TypeVar("M", bound=FileListing)


def content_of(text: str) -> str:
    """The hash of a manifest's text in the name of what it lists."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_stored(objects: Objects, place: str, kind: type[M]) -> M:
    """The manifest at a place. Raises DamagedArtifact: it is missing, damaged, or leads outside."""
    at = f"{objects.address}/{place}/{MANIFEST}"
    text = objects.read(f"{place}/{MANIFEST}")
    if text is None:
        raise DamagedArtifact(f"{at} is missing")
    value = parse_checksummed(text)
    if value is None or content_of(text.decode()) != place.rpartition("/")[2]:
        raise DamagedArtifact(f"{at} is damaged")
    if issubclass(kind, StageManifest):
        check_version(value, at)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        reason = " ".join(error.errors()[0]["msg"].split())
        raise DamagedArtifact(f"{at} is not what offline-rl writes: {reason}") from error
