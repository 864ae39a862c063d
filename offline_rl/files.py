"""Files that are whole or absent, and errors of the disk that name where they happened."""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

# What `writing_atomically` calls a file that is not whole yet.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}")
# How torch and safetensors, whose errors are no OSError, tell that a file could not be written.
_NOT_WRITTEN = re.compile(
    r"inline_container|PytorchStreamWriter|file_write failed|iostream error"
    r"|Error while serializing: I/O error"
)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Publishes `content` at `path`, as `writing_atomically` does."""
    with writing_atomically(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def writing_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Gives a file to fill that is published at `path` when the block ends without an exception.

    Written beside it, synced, renamed, folder synced: a reader sees the old file or the new one; on
    an error the old one stays and nothing is left. Raises OSError that names `path`.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with disk_errors_name(path):
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes renames inside the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_temporaries(folder: Path) -> None:
    """Removes what `writing_atomically` left directly in a folder when its process was killed."""
    for path in folder.glob(".*"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink()


@contextmanager
def disk_errors_name(path: Path) -> Iterator[None]:
    """Inside the block, a file that cannot be read or written is an OSError with a path.

    `path` is told where the error itself has none; a library's own kind of error becomes an
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
