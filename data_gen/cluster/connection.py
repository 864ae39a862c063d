"""The connection of this process to a Ray cluster, which notices when the cluster is gone."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from data_gen.cluster.head import CLIENT, ClusterError, Head, is_reachable

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1
_VARIABLES = {
    # Ray reports its use to its makers unless this is set.
    "RAY_USAGE_STATS_ENABLED": "0",
    # By default a driver inside of a virtual environment has the cluster build it again.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # By default any call after the loss of a cluster would start one on this machine; Ray looks at
    # this as it is imported, which somebody else may have done before.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    # Whoever waits for an answer raises its error; the rest ends with it.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    # Ray would try for a quarter of an hour to reach a head that is not there.
    "RAY_gcs_server_port_wait_time_s": "1",
}
# A head forks a server for each client that comes by `ray://`, and gRPC's own handlers of forks end
# about one in three of them.
_TRIES = 4

# Trainings begin in several threads, and Ray can be connected to once.
_CHANGING = threading.RLock()
_current: "Connection | None" = None


@contextmanager
def connected(address: str) -> Iterator["Connection"]:
    """The connection to the cluster at an address, shared by all users in this process.

    It ends with the last of them: Ray ends a process that has lost a head, and what needs no
    cluster any more need not end with one. Raises ClusterError where Ray or the cluster is missing,
    or another cluster is still in use.
    """
    global _current
    with _CHANGING:
        if _current is None:
            _current = Connection(address)
        connection = _current
        if connection.address != address:
            raise ClusterError(
                f"cluster: this process still uses the cluster at {connection.address!r}, and can"
                f" use that at {address!r} when the former's engines and verifiers are closed"
            )
        connection.users += 1
    try:
        connection.head.check()
        yield connection
    finally:
        with _CHANGING:
            connection.users -= 1
            if connection.users == 0:
                _current = None
                connection.leave()


class Connection:
    """A connection to Ray; what asks the cluster anything is called through `ask`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.users = 0
        for name, value in _VARIABLES.items():
            os.environ.setdefault(name, value)
        self.ray, self._is_ours = _connect(address)
        if not address.startswith(CLIENT):
            address = self.ray.get_runtime_context().gcs_address
        self.head = Head(self.ray, address)
        self._asking = 0
        self._lock = threading.Lock()
        self._left = threading.Event()
        threading.Thread(target=self._watch, name="cluster watch", daemon=True).start()

    def ask(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """`call(*arguments, **named)`, a function of Ray's that needs the cluster.

        The connection is not left meanwhile: called after that, it would start a cluster on this
        machine. Raises what it does, and ClusterError when the head is gone.
        """
        self.head.check()
        with self._lock:
            if self.head.lost:
                self.head.check()
            self._asking += 1
        try:
            return call(*arguments, **named)
        except self.ray.exceptions.RayError:
            # A worker's end may be that of the whole cluster.
            self.head.check()
            raise
        except ConnectionError as error:
            self.head.lost = "has closed the connection"
            raise ClusterError(f"cluster: the head at {self.head} {self.head.lost}") from error
        finally:
            with self._lock:
                self._asking -= 1

    def is_done(self, reference: Any, seconds: float = LOOK_SECONDS) -> bool:
        """Whether the answer to a call is there, or comes within so many seconds."""
        done, _ = self.ask(self.ray.wait, [reference], timeout=seconds)
        return bool(done)

    def _watch(self) -> None:
        """Leaves a lost cluster before Ray ends this process, which may be busy with other work.

        It looks all the time, for a head that was away is not the same afterwards.
        """
        while not self._left.wait(LOOK_SECONDS):
            try:
                self.head.check()
            except ClusterError:
                # Whoever asks looks at the head as well, and has an answer to that within seconds.
                with _CHANGING, self._lock:
                    if self._asking == 0:
                        self.leave()

    def leave(self) -> None:
        """Ends the connection, unless somebody else had made it. Safe to call twice."""
        if not self._left.is_set():
            self._left.set()
            if self._is_ours:
                self.ray.shutdown()


def _connect(address: str) -> tuple[Any, bool]:
    """The `ray` module, connected, and whether that was done here."""
    try:
        import ray
    except ImportError as error:
        raise ClusterError(
            "cluster: Ray is not installed", 'pip install "offline-rl[ray]"'
        ) from error
    if ray.is_initialized():
        return ray, False
    absent = f"cluster: no Ray cluster at {address!r}: ray start --head starts one"
    if address != "auto" and not is_reachable(address):
        raise ClusterError(absent)
    logging.getLogger("ray").setLevel(logging.ERROR)
    for tries_left in reversed(range(_TRIES)):
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            break
        except ConnectionAbortedError as error:
            refused = f"cluster: the head at {address!r} could not start its server for this client"
            if not tries_left:
                hint = "start the head with GRPC_ENABLE_FORK_SUPPORT=0 in its environment"
                raise ClusterError(f"{refused}: {hint}", error) from error
            logger.warning("%s: trying again", refused)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ClusterError(absent, error) from error
    return ray, True
