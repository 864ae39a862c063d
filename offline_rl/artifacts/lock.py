"""One process at a time in a run folder."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from data_gen.types import DataError
from offline_rl.artifacts.atomic import disk_errors_name, remove_temporaries

LOCK = ".lock"


class FolderInUse(DataError):
    """Another process is at work in a run folder."""


_SECONDS_TO_GIVE_A_NAME = 2


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder for this process; the lock ends with the process, however that ends.

    Removes what a killed holder was writing there, or in a folder directly inside. Raises
    FolderInUse naming the process that holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderInUse(
                f"{folder}: another process is at work here ({_holder(descriptor)}): wait for it,"
                " or choose another folder with --out"
            ) from error
        holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
        with disk_errors_name(folder / LOCK):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, holder.encode())
        for place in (folder, *(inner for inner in folder.iterdir() if inner.is_dir())):
            remove_temporaries(place)
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    """Who holds the lock; it may be about to write its name over that of a process long gone."""
    end = time.monotonic() + _SECONDS_TO_GIVE_A_NAME
    while time.monotonic() < end:
        try:
            holder = json.loads(os.pread(descriptor, 4096, 0))
            pid, host = int(holder["pid"]), str(holder["host"])
        except (ValueError, KeyError, TypeError):
            pid, host = 0, ""
        if host and (host != socket.gethostname() or psutil.pid_exists(pid)):
            return f"process {pid} on {host}"
        time.sleep(0.01)
    return "it has not given its name"
