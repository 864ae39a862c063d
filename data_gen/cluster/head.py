"""The process that holds a cluster together, and whether it is still the one we know."""

import logging
import socket
import time

from data_gen.samplers.base import EngineError

logger = logging.getLogger(__name__)

# Ray ends this whole process, without an exception, 60 s after it has lost the head.
_HEAD_SECONDS = 30
_ANSWER_SECONDS = 5


class ClusterError(EngineError):
    """The cluster itself is at fault, not the work that was given to it."""


def why_lost(address: str) -> str:
    """Why a head is given up, once it was waited for; empty while it is not."""
    if is_reachable(address):
        return ""
    logger.warning("cluster: the head at %s does not answer", address)
    end = time.monotonic() + _HEAD_SECONDS
    while time.monotonic() < end:
        time.sleep(0.5)
        # One that is ending may still be reached.
        if is_reachable(address) and (is_same := _is_same()) is not None:
            return "" if is_same else "was replaced by another"
    return f"has not answered for {_HEAD_SECONDS} s"


def _is_same() -> bool | None:
    """Whether a head that was away is the one from before; None while it does not say.

    Asked what Ray documents (`nodes`, `cluster_resources`, `available_resources`), a head that has
    taken another's place makes Ray end this process; asked this, it only refuses.
    """
    from ray.exceptions import RayError
    from ray.experimental.internal_kv import internal_kv_get_gcs_client

    # A process that is a client of the cluster has none, and Ray does not end it.
    asked = internal_kv_get_gcs_client()
    try:
        if asked is not None:
            asked.internal_kv_get(b"offline-rl", None, timeout=_ANSWER_SECONDS)
    except RayError as error:
        return False if "WrongClusterID" in str(error) else None
    return True


def is_reachable(address: str) -> bool:
    """Whether something answers at the address of a head."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except (OSError, OverflowError):
        return False
    return True
