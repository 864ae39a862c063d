"""Objects below an address of an object store, where there is neither a lock nor a rename."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_gen.types import DataError
from offline_rl.redaction import redacted

ADDRESS = r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9][A-Za-z0-9_.=-]*)*/?"
_LAYOUT = "layout.json"
_ABOUT = json.dumps({"written by": "offline-rl", "layout": 1}) + "\n"
_TAKEN, _CONFLICT = 412, 409
_TRIES = 6


class Objects:
    """The objects whose names begin with an address, s3://bucket/prefix.

    Keys and endpoint come from the environment or the AWS configuration files. Every method raises
    OSError with the address where the store refuses or cannot be reached.
    """

    def __init__(self, address: str) -> None:
        if not re.fullmatch(ADDRESS, address):
            raise DataError(f"{address!r} is no address such as s3://bucket/folder")
        self.address = address.rstrip("/")
        self._files = _connected()

    def check(self) -> None:
        """Puts a note of the layout, once, to see that the store can be written to.

        Raises DataError for a store of another layout, and for one that puts an object in place of
        another where it must not.
        """
        self.create(_LAYOUT, _ABOUT)
        if self.create(_LAYOUT, _ABOUT):
            raise DataError(f"{self.address}: this store does not honour If-None-Match")
        if self.read(_LAYOUT) != _ABOUT.encode():
            raise DataError(
                f"{self.address}: {_LAYOUT} is of another version: choose another place"
            )

    def read(self, name: str) -> bytes | None:
        """An object's content; None where there is none."""
        with self._errors_name(name):
            try:
                # With more at a time it would be asked for its size first.
                content: bytes = self._files.cat_file(f"{self.address}/{name}", max_concurrency=1)
            except FileNotFoundError:
                return None
            return content

    def write(self, name: str, content: str) -> None:
        """Puts an object in place of what is there."""
        with self._errors_name(name):
            self._files.pipe_file(f"{self.address}/{name}", content.encode())

    def create(self, name: str, content: str) -> bool:
        """Puts an object where there is none; False, and nothing done, where there is one.

        Of several that try at the same time one succeeds: the store decides (If-None-Match).
        """
        place = f"{self.address}/{name}"
        with self._errors_name(name):
            for number in range(_TRIES):
                try:
                    self._files.pipe_file(place, content.encode(), mode="create")
                except FileExistsError:
                    return False
                except OSError as error:
                    if _status(error) == _TAKEN:
                        return False
                    # Another was creating it in the same moment; the store leaves it to us.
                    if _status(error) != _CONFLICT or number == _TRIES - 1:
                        raise
                    time.sleep(0.1 * 2**number)
                else:
                    return True
        raise AssertionError("a try ends in an answer or an error")

    def send(self, path: Path, name: str) -> None:
        """Puts a file's content."""
        with self._errors_name(name):
            self._files.put_file(str(path), f"{self.address}/{name}")

    def receive(self, name: str, path: Path) -> None:
        """Writes an object's content to a file. Raises FileNotFoundError where there is none."""
        with self._errors_name(name):
            self._files.get_file(f"{self.address}/{name}", str(path))

    @contextmanager
    def _errors_name(self, name: str) -> Iterator[None]:
        from aiohttp import ClientError
        from botocore.exceptions import BotoCoreError

        place = f"{self.address}/{name}"
        try:
            yield
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{place}: there is no such bucket or object") from error
        # An endpoint that is no address is a ValueError.
        except (OSError, BotoCoreError, ClientError, ValueError) as error:
            # The disk's own errors have the name of a file.
            if isinstance(error, OSError) and error.filename is not None:
                raise
            said = (isinstance(error, OSError) and error.strerror) or str(error)
            reason = redacted(" ".join(said.split())) or type(error).__name__
            raise OSError(f"{place}: the store refuses, or is not there: {reason}") from error


def _connected() -> Any:
    try:
        from s3fs import S3FileSystem
    except ImportError as error:
        raise DataError('s3:// needs s3fs: pip install "offline-rl[s3]"') from error
    # A listing that is remembered would not tell what another machine has put there since.
    return S3FileSystem(use_listings_cache=False)


def _status(error: OSError) -> int | None:
    """The HTTP status that a store's refusal came with."""
    from botocore.exceptions import ClientError

    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return None
    status: int | None = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status
