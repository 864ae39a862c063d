"""The connection of this process to a Ray cluster, which notices when the cluster is gone."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from data_gen.cluster.head import ClusterError, is_reachable, why_lost

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1
_CLIENT = "ray://"
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
        connection.check()
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
        if not address.startswith(_CLIENT):
            address = self.ray.get_runtime_context().gcs_address
        self._head = address.removeprefix(_CLIENT)
        self._lost = ""
        self._looking = threading.Lock()
        self._asking = 0
        self._lock = threading.Lock()
        self._left = threading.Event()
        threading.Thread(target=self._watch, name="cluster watch", daemon=True).start()

    def check(self) -> None:
        """Waits for a head that does not answer. Raises ClusterError where that takes too long."""
        with self._looking:
            if not self._lost:
                why = why_lost(self._head)
                # Others may have given it up meanwhile.
                self._lost = self._lost or why
        if self._lost:
            raise ClusterError(
                f"cluster: the head at {self._head} {self._lost}: with a head there, the same"
                " command goes on from the files"
            )

    def ask(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """`call(*arguments, **named)`, a function of Ray's that needs the cluster.

        The connection is not left meanwhile: called after that, it would start a cluster on this
        machine. Raises what it does, and ClusterError when the head is gone.
        """
        with self._lock:
            self._asking += 1
        try:
            self.check()
            return call(*arguments, **named)
        except self.ray.exceptions.RayError:
            # A worker's end may be that of the whole cluster.
            self.check()
            raise
        except ConnectionError as error:
            self._lost = "has closed the connection"
            raise ClusterError(f"cluster: the head at {self._head} {self._lost}", error) from error
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
                self.check()
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
    if address != "auto" and not is_reachable(address.removeprefix(_CLIENT)):
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
