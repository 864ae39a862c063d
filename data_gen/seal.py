"""A hash of a Parquet file inside of its own footer, which no page's checksum covers."""

import hashlib
import mmap
from pathlib import Path

KEY = "data_gen.sha256"
BLANK = "0" * 64
# In the footer a value follows its key after two bytes: that it is text, and its length.
_BEFORE_VALUE = KEY.encode() + b"\x18\x40"


def seal(path: Path) -> None:
    """Fills in the hash where the file's metadata hold BLANK under KEY."""
    found = _hash(path)
    if found is None:
        raise ValueError(f"{path}: no {KEY} among its metadata")
    at, _, digest = found
    with path.open("r+b") as file:
        file.seek(at)
        file.write(digest)


def is_sealed(path: Path) -> bool:
    """Whether every byte is as it was when the file was sealed."""
    found = _hash(path)
    return found is not None and found[1] == found[2]


def _hash(path: Path) -> tuple[int, bytes, bytes] | None:
    """Where the hash stands, what stands there, and the hash of the file with BLANK there."""
    if path.stat().st_size == 0:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # The last one: what columns hold is told earlier in a footer, and may be any text.
        key = content.rfind(_BEFORE_VALUE)
        if key < 0:
            return None
        at = key + len(_BEFORE_VALUE)
        end = at + len(BLANK)
        digest = hashlib.sha256(memoryview(content)[:at])
        digest.update(BLANK.encode())
        digest.update(memoryview(content)[end:])
        return at, content[at:end], digest.hexdigest().encode()
