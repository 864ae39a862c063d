"""The connection of this process to a Ray cluster, which notices when the cluster is gone."""

import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from data_gen.cluster.settings import ClusterSettings
from data_gen.samplers.base import EngineError

logger = logging.getLogger(__name__)

# Ray ends this whole process, without an exception, 60 s after it has lost the head.
_HEAD_SECONDS = 30
_LOOK_SECONDS = 1
_CLIENT = "ray://"
_CONNECTING = threading.Lock()


class ClusterError(EngineError):
    """The cluster itself is at fault, not the work that was given to it."""


class Connection:
    """The connection to the cluster of some settings; a process has one to Ray at a time.

    Raises ClusterError where Ray or the cluster is missing.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        # Trainings begin in several threads, and Ray can be connected to once.
        with _CONNECTING:
            self.ray = _connected(settings.address)
        address = settings.address
        if not address.startswith(_CLIENT):
            address = self.ray.get_runtime_context().gcs_address
        self.head = Head(self.ray, address)
        self.head.check(at_once=True)

    def result(
        self,
        reference: Any,
        *,
        seconds: float = math.inf,
        on_wait: Callable[[], None] = lambda: None,
    ) -> Any:
        """What a reference stands for, once it is there; `on_wait` is called every second.

        Raises what `ray.get` does, TimeoutError after so many seconds, and ClusterError when the
        head is gone.
        """
        end = time.monotonic() + seconds
        try:
            while True:
                self.head.check()
                done, _ = self.ray.wait([reference], timeout=_LOOK_SECONDS)
                if done:
                    return self.ray.get(reference)
                if time.monotonic() > end:
                    raise TimeoutError
                on_wait()
        except self.ray.exceptions.RayTaskError:
            raise
        except self.ray.exceptions.RayError:
            # A worker is not to be started again where the whole cluster has ended.
            self.head.check(at_once=True)
            raise
        except ConnectionError as error:
            self.head.lost = "has closed the connection"
            raise ClusterError(f"cluster: the head at {self.head} {self.head.lost}", error) from (
                error
            )

    def end(self, actor: Any) -> None:
        if not self.head.lost:
            self.ray.kill(actor, no_restart=True)


class Head:
    """The process that holds a cluster together, by its address host:port."""

    def __init__(self, ray: Any, address: str) -> None:
        self._ray = ray
        self._place = _place(address)
        self._looked = -math.inf
        self._lock = threading.Lock()
        self.lost = ""
        """Why it is given up; empty while it is not."""

    def check(self, *, at_once: bool = False) -> None:
        """Looks, not more often than once a second unless `at_once`, whether it still answers.

        Waits for one that does not. Raises ClusterError where that takes too long.
        """
        with self._lock:
            if not self.lost and (at_once or time.monotonic() - self._looked > _LOOK_SECONDS):
                self.lost = self._why_lost()
                self._looked = time.monotonic()
        if self.lost:
            raise ClusterError(
                f"cluster: the head at {self} {self.lost}: with a head there, the same command"
                " goes on from the files"
            )

    def __str__(self) -> str:
        return ":".join(map(str, self._place))

    def _why_lost(self) -> str:
        end = time.monotonic() + _HEAD_SECONDS
        told = False
        while not _reachable(self._place):
            if not told:
                logger.warning("cluster: the head at %s does not answer", self)
                told = True
            if time.monotonic() > end:
                return f"has not answered for {_HEAD_SECONDS} s"
            time.sleep(_LOOK_SECONDS / 2)
        return "" if self._knows_us() else "was started anew"

    def _knows_us(self) -> bool:
        """Ray ends the process of who asks more of a head that has taken another's place."""
        from ray.experimental.internal_kv import _internal_kv_get

        try:
            _internal_kv_get(b"offline-rl")
        except self._ray.exceptions.RayError as error:
            return "WrongClusterID" not in str(error)
        return True


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix(_CLIENT).rpartition(":")
    return host.strip("[]"), int(port)


def _reachable(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, timeout=2).close()
    except (OSError, OverflowError):
        return False
    return True


def _connected(address: str) -> Any:
    """The `ray` module, connected."""
    # Ray reports its use to its makers unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # By default a driver inside of a virtual environment has the cluster build it again.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    # By default any call after the loss of a cluster would start one on this machine.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    # What fails is told by whoever waits for it; the rest ends with it.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    # Ray would try for a quarter of an hour to reach a head that is not there.
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")
    try:
        import ray
    except ImportError as error:
        raise ClusterError(
            "cluster: Ray is not installed", 'pip install "offline-rl[ray]"'
        ) from error
    if ray.is_initialized():
        return ray
    absent = f"cluster: no Ray cluster at {address!r}: ray start --head starts one"
    if address != "auto" and not _reachable(_place(address)):
        raise ClusterError(absent)
    try:
        logging.getLogger("ray").setLevel(logging.ERROR)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ClusterError(absent, error) from error
    return ray
