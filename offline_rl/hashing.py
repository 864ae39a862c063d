"""JSON values and files by their hashes, and what has changed between two values."""

import hashlib
import json
from pathlib import Path
from typing import Any


def digest(value: Any) -> str:
    """A hash of a JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
