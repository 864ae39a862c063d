"""The one connection of this process to Ray: its users share it, and it ends with the last."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from data_gen.cluster.head import CLIENT, LOOK_SECONDS, ClusterError, Head, is_there

logger = logging.getLogger(__name__)

_VARIABLES = {
    # Ray reports its use to its makers unless it is told not to.
    "RAY_USAGE_STATS_ENABLED": "0",
    # By default a driver inside of a virtual environment has the cluster build it again.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # By default any call after the loss of a cluster would start one on this machine; Ray looks at
    # this as it is imported, which somebody else may have done before.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    # What fails is told by whoever waits for it; the rest ends with it.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    # Ray would try for a quarter of an hour to reach a head that is not there.
    "RAY_gcs_server_port_wait_time_s": "1",
}

# A head forks a server for each client that comes by `ray://`, and gRPC's own handlers of forks end
# about one in three of them.
_TRIES = 4

# Trainings begin in several threads, and Ray can be connected to once.
_CHANGING = threading.RLock()
_current: "Link | None" = None


class Link:
    """A connection to Ray and the number of those who use it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.users = 0
        # Ray reads some of them at any time, so that they stay set for as long as it is connected.
        self._set = [name for name in _VARIABLES if name not in os.environ]
        os.environ.update({name: _VARIABLES[name] for name in self._set})
        try:
            self.ray, self._is_ours = _connected(address)
        except BaseException:
            self._unset()
            raise
        if not address.startswith(CLIENT):
            address = self.ray.get_runtime_context().gcs_address
        self.head = Head(self.ray, address)
        self._inside = 0
        self._asking = threading.Lock()
        self._left = threading.Event()
        threading.Thread(target=self._watch, name="cluster watch", daemon=True).start()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """While it is asked the connection is not left. Raises ClusterError when that is lost."""
        with self._asking:
            if self.head.lost:
                self.head.check()
            self._inside += 1
        try:
            yield
        finally:
            with self._asking:
                self._inside -= 1

    def end(self) -> None:
        """Leaves the cluster, and what was set for Ray with it: nobody uses this any more."""
        try:
            self._leave()
        finally:
            self._unset()

    def _watch(self) -> None:
        """Leaves a lost cluster before Ray ends this process, which may be busy with other work.

        It looks all the time, for a head that was away is not the same afterwards.
        """
        while not self._left.wait(LOOK_SECONDS):
            try:
                self.head.check()
            except ClusterError:
                # Whoever asks looks at the head as well, and has an answer to that within seconds.
                with _CHANGING, self._asking:
                    if self._inside == 0:
                        self._leave()

    def _leave(self) -> None:
        """Ends the connection, unless somebody else had made it. Safe to call twice."""
        if not self._left.is_set():
            self._left.set()
            if self._is_ours:
                self.ray.shutdown()

    def _unset(self) -> None:
        for name in self._set:
            os.environ.pop(name, None)


def join(address: str) -> Link:
    """The connection to the cluster at an address, for one user more; `part` takes it back.

    Raises ClusterError where Ray or the cluster is missing, or another cluster is still in use.
    """
    global _current
    with _CHANGING:
        if _current is None:
            _current = Link(address)
        if _current.address != address:
            raise ClusterError(
                f"cluster: this process still uses the cluster at {_current.address!r}, and can use"
                f" that at {address!r} when the former's engines and verifiers are closed"
            )
        _current.users += 1
        return _current


def part(link: Link) -> None:
    """One user less; the last one ends the connection."""
    global _current
    with _CHANGING:
        link.users -= 1
        if link.users == 0:
            _current = None
            link.end()


def _connected(address: str) -> tuple[Any, bool]:
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
    if address != "auto" and not is_there(address):
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
