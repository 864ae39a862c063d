"""Files that are whole or absent, and errors of the disk that name where they happened."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_gen.store.atomic_files import replacing

# What `replacing` calls a file that is not whole yet.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}")
# How torch and safetensors, whose errors are no OSError, tell that a file could not be written.
_NOT_WRITTEN = re.compile(
    r"inline_container|PytorchStreamWriter|file_write failed|iostream error"
    r"|Error while serializing: I/O error"
)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Publishes `content` at `path`, as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def remove_temporaries(folder: Path) -> None:
    """Removes what `replacing` left directly in a folder when its process was killed."""
    for path in folder.glob(".*"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink()


@contextmanager
def disk_errors_name(path: Path) -> Iterator[None]:
    """Inside the block, a file that cannot be read or written is an OSError with a path.

    `path` is named where the error itself names none; a library's own kind of error becomes an
    OSError, so that nobody takes a full disk for a fault of what was to be saved.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    # safetensors derives its errors from Exception itself.
    except Exception as error:
        if not _NOT_WRITTEN.search(str(error)):
            raise
        reason = " ".join(str(error).split())[:400]
        raise OSError(
            f"{path}: a file could not be written, is the disk full? ({reason})"
        ) from error
