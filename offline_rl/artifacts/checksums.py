"""JSON values by their hashes, files that carry their own, and what has changed between two."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from data_gen.types import DataError, Problem

_CHECKSUM = "sha256"


class DamagedArtifact(DataError):
    """A file of a run that is missing, or no longer holds what was written."""


def digest(value: Any) -> str:
    """A hash of a JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def problems_digest(problems: Iterable[Problem], *, solutions: bool) -> str:
    """A hash of problems in their order, with their solutions where these matter."""
    return digest(
        [[p.id, p.prompt, p.answer, *([p.solution] if solutions else [])] for p in problems]
    )


def plain(value: Any) -> Any:
    """A JSON value as it is read back."""
    return json.loads(json.dumps(value, allow_nan=False))


def first_change(old: Any, new: Any, path: str = "") -> str | None:
    """The first difference in words, by dotted path; None for equal values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*new, *(key for key in old if key not in new)]:
            found = first_change(old.get(key), new.get(key), f"{path}.{key}" if path else key)
            if found is not None:
                return found
        return None
    if old == new:
        return None
    if isinstance(old, dict | list) or isinstance(new, dict | list) or len(str(new)) > 60:
        return f"{path} has changed"
    return f"{path} has changed from {old} to {new}"


def checksummed_text(value: Mapping[str, Any]) -> str:
    """The text of a JSON object with a hash of itself; `parse_checksummed` reads it."""
    bare = {key: one for key, one in value.items() if key != _CHECKSUM}
    checksum = hashlib.sha256(_text(bare).encode()).hexdigest()
    return _text({**bare, _CHECKSUM: checksum})


def parse_checksummed(content: bytes) -> dict[str, Any] | None:
    """The object in what `checksummed_text` gave; None where one byte of it is another."""
    try:
        value = json.loads(content)
        if not isinstance(value, dict) or checksummed_text(value).encode() != content:
            return None
    # Numbers that are none are read, and not written again.
    except (ValueError, RecursionError):
        return None
    del value[_CHECKSUM]
    return value


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"
