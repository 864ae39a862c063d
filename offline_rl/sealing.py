"""JSON files that tell themselves whether they still hold what was written."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_gen.types import DataError

_SEAL = "sha256"


def sealed(value: Mapping[str, Any]) -> str:
    """The text of a JSON object with a hash of itself; `unsealed` reads it."""
    bare = {key: one for key, one in value.items() if key != _SEAL}
    seal = hashlib.sha256(_text(bare).encode()).hexdigest()
    return _text({**bare, _SEAL: seal})


def unsealed(content: bytes) -> dict[str, Any] | None:
    """The object in what `sealed` gave; None where one byte of it is another."""
    try:
        value = json.loads(content)
        if not isinstance(value, dict) or sealed(value).encode() != content:
            return None
    # Numbers that are none are read, and not written again.
    except (ValueError, RecursionError):
        return None
    del value[_SEAL]
    return value


def read_sealed(path: Path) -> dict[str, Any]:
    """As `unsealed`. Raises DataError for a file that has changed."""
    value = unsealed(path.read_bytes())
    if value is None:
        raise DataError(f"{path} is damaged: it does not hold what was written: run it again")
    return value


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"
