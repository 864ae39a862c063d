"""Checkpoints of a training: whole and as they were written, or not gone on from."""

import shutil
from pathlib import Path

from data_gen.store.atomic_files import sha256
from offline_rl.artifacts.atomic import write_atomically
from offline_rl.artifacts.checksums import checksummed_text, parse_checksummed

_COMPLETE = "complete"


def mark_complete(folder: Path) -> None:
    """To be called last: notes every file of a checkpoint with its hash."""
    write_atomically(folder / _COMPLETE, checksummed_text({"files": _hashes(folder)}))


def last_checkpoint(checkpoints: Path) -> Path | None:
    """The newest checkpoint that holds what was written; the others are removed.

    Torn ones are left by a killed process, damaged ones by a disk.
    """
    whole = []
    for folder in checkpoints.glob("checkpoint-*"):
        if _is_whole(folder):
            whole.append(folder)
        else:
            shutil.rmtree(folder)
    return max(whole, key=lambda folder: int(folder.name.rsplit("-", 1)[1]), default=None)


def _is_whole(folder: Path) -> bool:
    try:
        noted = parse_checksummed((folder / _COMPLETE).read_bytes())
        return noted is not None and noted["files"] == _hashes(folder)
    except OSError:
        return False


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _COMPLETE
    }
