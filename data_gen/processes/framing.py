"""Messages on a socket: a JSON value each, with raw bytes behind it where numbers are many."""

import json
import socket
import struct
import time
from typing import Any

_LENGTHS = struct.Struct(">QQ")

Message = tuple[Any, bytes]
"""The JSON value and the payload, empty where there is none."""


def write_frame(connection: socket.socket, value: Any, payload: bytes = b"") -> None:
    """Blocks until all is handed over. Raises OSError when the other side is gone."""
    body = json.dumps(value).encode()
    connection.sendall(_LENGTHS.pack(len(body), len(payload)) + body)
    if payload:
        connection.sendall(payload)


def read_frame(connection: socket.socket, deadline: float | None = None) -> Message | None:
    """The next message, None when the other side has closed between or within messages.

    `deadline` is on the monotonic clock; TimeoutError when it passes.
    """
    lengths = _read_exactly(connection, _LENGTHS.size, deadline)
    if lengths is None:
        return None
    length, extra = _LENGTHS.unpack(lengths)
    body = _read_exactly(connection, length, deadline)
    payload = _read_exactly(connection, extra, deadline)
    return None if body is None or payload is None else (json.loads(body), payload)


def _read_exactly(connection: socket.socket, size: int, deadline: float | None) -> bytes | None:
    buffer = bytearray(size)
    view, filled = memoryview(buffer), 0
    while filled < size:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
        else:
            connection.settimeout(None)
        count = connection.recv_into(view[filled:])
        if not count:
            return None
        filled += count
    return bytes(buffer)
