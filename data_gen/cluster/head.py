"""The process that holds a cluster together, and whether it is still the one we know."""

import logging
import socket
import threading
import time
from typing import Any

from data_gen.samplers.base import EngineError

logger = logging.getLogger(__name__)

# Ray ends this whole process, without an exception, 60 s after it has lost the head.
_HEAD_SECONDS = 30
_ANSWER_SECONDS = 5
CLIENT = "ray://"


class ClusterError(EngineError):
    """The cluster itself is at fault, not the work that was given to it."""


class Head:
    """The process that holds a cluster together, by its address host:port."""

    def __init__(self, ray: Any, address: str) -> None:
        self._ray = ray
        self._address = address.removeprefix(CLIENT)
        self._lock = threading.Lock()
        self.lost = ""
        """Why it is given up; empty while it is not."""

    def check(self) -> None:
        """Waits for a head that does not answer. Raises ClusterError where that takes too long."""
        with self._lock:
            if not self.lost:
                why = self._why_lost()
                # Others may have given it up meanwhile.
                self.lost = self.lost or why
        if self.lost:
            raise ClusterError(
                f"cluster: the head at {self} {self.lost}: with a head there, the same command"
                " goes on from the files"
            )

    def __str__(self) -> str:
        return self._address

    def _why_lost(self) -> str:
        if is_reachable(self._address):
            return ""
        logger.warning("cluster: the head at %s does not answer", self)
        end = time.monotonic() + _HEAD_SECONDS
        while time.monotonic() < end:
            time.sleep(0.5)
            # One that is ending may still be reached.
            if is_reachable(self._address) and (is_same := self._is_same()) is not None:
                return "" if is_same else "was replaced by another"
        return f"has not answered for {_HEAD_SECONDS} s"

    def _is_same(self) -> bool | None:
        """Whether a head that was away is the one from before; None while it does not say.

        Asked what Ray documents (`nodes`, `cluster_resources`, `available_resources`), a head that
        has taken another's place makes Ray end this process; asked this, it only refuses.
        """
        try:
            from ray.experimental.internal_kv import internal_kv_get_gcs_client
        except ImportError:
            return True
        # A process that is a client of the cluster has none, and Ray does not end it.
        asked = internal_kv_get_gcs_client()
        try:
            if asked is not None:
                asked.internal_kv_get(b"offline-rl", None, timeout=_ANSWER_SECONDS)
        except self._ray.exceptions.RayError as error:
            return False if "WrongClusterID" in str(error) else None
        return True


def is_reachable(address: str) -> bool:
    """Whether something answers at the address of a head."""
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except (OSError, OverflowError):
        return False
    return True
