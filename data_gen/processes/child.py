"""A Python child process that answers messages, can be killed, and ends with its parent."""

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
from collections.abc import Callable, Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO, Any

_LOG_TAIL_BYTES = 20_000
# A message that has begun goes on within this time, or its sender is taken for dead.
_STALL_SECONDS = 30

Message = tuple[Any, bytes]
"""A JSON value, with raw bytes behind it where numbers are many."""


class ChildDied(RuntimeError):
    """The child process ended before it answered; the message carries the end of its output."""


class Child:
    """Runs `python -P -m module` and exchanges messages with it over a pipe.

    A started program instead of `multiprocessing.Process`: that one imports the caller's main
    script again, so a plain script without a main guard could not use us. Messages are JSON and
    never unpickled, since the child has handled hostile text.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        self.connection, theirs = Pipe()
        with socket.socket(fileno=os.dup(self.connection.fileno())) as own:
            own.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _STALL_SECONDS, 0)
            )
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

    def send(self, value: Any, payload: bytes = b"") -> None:
        """Raises ChildDied when the child is gone."""
        try:
            _send(self.connection, value, payload)
        except OSError as error:
            raise ChildDied(self._epitaph()) from error

    def receive(self, timeout_seconds: float | None = None) -> Any:
        """The next message. Raises ChildDied when the child ends instead.

        TimeoutError when no message begins to come within `timeout_seconds`; ChildDied also for one
        that stops half-way.
        """
        return self.receive_with_payload(timeout_seconds)[0]

    def receive_with_payload(self, timeout_seconds: float | None = None) -> Message:
        """As `receive`, with the bytes that came behind the message."""
        try:
            if self.connection.poll(timeout_seconds):
                return _receive(self.connection)
        except (EOFError, OSError) as error:
            raise ChildDied(self._epitaph()) from error
        raise TimeoutError

    def output(self) -> str:
        """The end of what the child has printed; nothing once it was killed here."""
        if self._log.closed:
            return ""
        self._log.flush()
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LOG_TAIL_BYTES))
        return self._log.read().decode(errors="replace")

    def kill(self) -> None:
        """Ends the child at once and frees what it held. Safe to call twice."""
        self.connection.close()
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


class Parent:
    """The child's side: the parent's messages as they come, and answers to it.

    A thread reads the pipe, so that the process notices the end of its parent, which closes the
    pipe, while it is still at work.
    """

    def __init__(self) -> None:
        self._connection = Connection(int(sys.argv[1]))
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def take(self) -> Message:
        """The next message; waits for one."""
        return self._inbox.get()

    def waiting(self) -> bool:
        """Whether `take` would give a message at once."""
        return not self._inbox.empty()

    def send(self, value: Any, payload: bytes = b"") -> None:
        """Blocks until the answer is on its way. Not for two threads at once."""
        _send(self._connection, value, payload)

    def _read(self) -> None:
        try:
            while True:
                self._inbox.put(_receive(self._connection))
        except (EOFError, OSError):
            os.killpg(os.getpid(), signal.SIGKILL)


def _send(connection: Connection, value: Any, payload: bytes) -> None:
    connection.send_bytes(json.dumps(value).encode() + b"\n" + payload)


def _receive(connection: Connection) -> Message:
    value, _, payload = connection.recv_bytes().partition(b"\n")
    return json.loads(value), payload


def serve(handle: Callable[[Any], Any]) -> None:
    """Answers each message of the parent with `handle(message)`; never returns."""
    parent = Parent()
    while True:
        parent.send(handle(parent.take()[0]))
