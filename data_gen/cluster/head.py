"""The process that holds a cluster together, and whether it is still the one we know."""

import logging
import math
import socket
import threading
import time
from typing import Any, Literal

from data_gen.samplers.base import EngineError

logger = logging.getLogger(__name__)

# Ray ends this whole process, without an exception, 60 s after it has lost the head.
_HEAD_SECONDS = 30
_ANSWER_SECONDS = 5
LOOK_SECONDS = 1
CLIENT = "ray://"


class ClusterError(EngineError):
    """The cluster itself is at fault, not the work that was given to it."""


class Head:
    """The process that holds a cluster together, by its address host:port."""

    def __init__(self, ray: Any, address: str) -> None:
        self._ray = ray
        self._place = _place(address)
        self._looked = -math.inf
        self._was_gone = False
        self._lock = threading.Lock()
        self.lost = ""
        """Why it is given up; empty while it is not."""

    def check(self, *, at_once: bool = False) -> None:
        """Looks, not more often than once a second unless `at_once`, whether it still answers.

        Waits for one that does not. Raises ClusterError where that takes too long.
        """
        with self._lock:
            if not self.lost and (at_once or time.monotonic() - self._looked > LOOK_SECONDS):
                why = self._why_lost()
                # Others may have given it up meanwhile.
                self.lost = self.lost or why
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
        while (answer := self._answer()) == "none":
            if not told:
                logger.warning("cluster: the head at %s does not answer", self)
                told = True
            if time.monotonic() > end:
                return f"has not answered for {_HEAD_SECONDS} s"
            time.sleep(LOOK_SECONDS / 2)
        return "was started anew" if answer == "another's" else ""

    def _answer(self) -> Literal["its own", "another's", "none"]:
        if not _reachable(self._place):
            self._was_gone = True
            return "none"
        # One that is ending may still be reached, and Ray ends a process that it owes an answer.
        if not self._was_gone:
            return "its own"
        # Asked what Ray documents (`nodes`, `cluster_resources`, `available_resources`), a head
        # that has taken another's place makes Ray end this process; asked this, it only refuses.
        try:
            from ray.experimental.internal_kv import internal_kv_get_gcs_client
        except ImportError:
            return "its own"
        # A process that is a client of the cluster has none, and Ray does not end it.
        asked = internal_kv_get_gcs_client()
        try:
            if asked is not None:
                asked.internal_kv_get(b"offline-rl", None, timeout=_ANSWER_SECONDS)
        except self._ray.exceptions.RayError as error:
            return "another's" if "WrongClusterID" in str(error) else "none"
        self._was_gone = False
        return "its own"


def is_there(address: str) -> bool:
    """Whether something answers at the address of a head."""
    return _reachable(_place(address))


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    return host.strip("[]"), int(port)


def _reachable(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, timeout=2).close()
    except (OSError, OverflowError):
        return False
    return True
