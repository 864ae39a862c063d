"""A Python child process that answers JSON messages, can be killed, and ends with its parent."""

import json
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

_LENGTH = struct.Struct(">Q")
_LOG_TAIL_BYTES = 4000


class ChildDied(RuntimeError):
    """The child process ended before it answered; the message carries the end of its output."""


class Child:
    """Runs `python -P -m module` and exchanges JSON messages with it over a socket pair.

    A started program and a socket instead of `multiprocessing`: that one imports the caller's
    main script again, so a plain script without a main guard could not use us, and it unpickles
    what the child sends, which has handled hostile text.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (`kill` closes it)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                # A process group of its own, so that what the child starts ends with it.
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal, once `ChildDied` has been raised; None before."""
        return self._process.poll()

    def send(self, message: Any) -> None:
        """Raises ChildDied when the child is gone."""
        try:
            self._socket.settimeout(None)
            self._socket.sendall(_frame(message))
        except OSError as error:
            raise ChildDied(self._epitaph()) from error

    def receive(self, timeout_seconds: float | None = None) -> Any:
        """The next message; TimeoutError after `timeout_seconds`, ChildDied when the child ends."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        try:
            message = _read(self._socket, deadline)
        except (TimeoutError, ConnectionError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise ChildDied(self._epitaph()) from error
        if message is None:
            raise ChildDied(self._epitaph())
        return message[0]

    def ready(self) -> int:
        """The file descriptor that becomes readable when a message waits, for `select`."""
        return self._socket.fileno()

    def output(self) -> str:
        """The end of what the child has printed."""
        self._log.flush()
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LOG_TAIL_BYTES))
        return self._log.read().decode(errors="replace")

    def kill(self) -> None:
        """Ends the child at once and frees what it held. Safe to call twice."""
        self._socket.close()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if not self._log.closed:
            self._log.close()

    def _epitaph(self) -> str:
        try:
            code: int | None = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            code = None
        return f"the child process {self.pid} ended with exit code {code}: {self.output().strip()}"


def serve(handle: Callable[[Any], Any]) -> None:
    """The child's side: answers each message with `handle(message)`; never returns.

    A thread reads the socket, so that the process notices the end of its parent, which closes the
    socket, while `handle` is still at work.
    """
    connection = socket.socket(fileno=int(sys.argv[1]))
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def read() -> None:
        while True:
            try:
                message = _read(connection, None)
            except ConnectionError:
                message = None
            if message is None:
                os.killpg(os.getpid(), signal.SIGKILL)
                return
            inbox.put(message[0])

    threading.Thread(target=read, daemon=True).start()
    while True:
        connection.sendall(_frame(handle(inbox.get())))


def _frame(message: Any) -> bytes:
    body = json.dumps(message).encode()
    return _LENGTH.pack(len(body)) + body


def _read(connection: socket.socket, deadline: float | None) -> tuple[Any] | None:
    header = _read_exactly(connection, _LENGTH.size, deadline)
    if header is None:
        return None
    body = _read_exactly(connection, _LENGTH.unpack(header)[0], deadline)
    return None if body is None else (json.loads(body),)


def _read_exactly(connection: socket.socket, size: int, deadline: float | None) -> bytes | None:
    buffer = bytearray()
    while len(buffer) < size:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
        else:
            connection.settimeout(None)
        piece = connection.recv(min(size - len(buffer), 1 << 20))
        if not piece:
            return None
        buffer += piece
    return bytes(buffer)
