"""What work reserves on the nodes of a cluster, and whether there is any place for it."""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from data_gen.cluster.connection import Connection
from data_gen.cluster.head import ClusterError
from data_gen.cluster.settings import ClusterSettings

logger = logging.getLogger(__name__)

# Nodes of a cluster that has just been started join one after another.
_JOINING_SECONDS = 10


@dataclass(frozen=True)
class Reservation:
    """What one worker holds of the node that it is on; `what` it is, in words."""

    what: str
    cpus: float
    gpus: float = 0

    def __str__(self) -> str:
        return _in_words({"CPU": self.cpus, "GPU": self.gpus})

    def places_on(self, resources: Mapping[str, float]) -> float:
        """How many such workers an empty node with these resources holds."""
        return min(
            math.floor(resources.get(name, 0) / needed) if needed else math.inf
            for name, needed in (("CPU", self.cpus), ("GPU", self.gpus))
        )


def check_places(
    connection: Connection, settings: ClusterSettings, one: Reservation, count: int = 1
) -> None:
    """Raises ClusterError where even the empty cluster has no place for `count` at once."""
    end = time.monotonic() + min(_JOINING_SECONDS, settings.wait_seconds)
    while (places := _places(connection, one)) < count:
        lack = (
            f"cluster: {count} x {one.what} with {one} each, and the whole cluster has place for"
            f" {places:g} ({_in_words(connection.ask(connection.ray.cluster_resources))})"
        )
        if settings.autoscaling:
            logger.warning("%s: waiting for it to grow", lack)
            return
        if time.monotonic() > end:
            raise ClusterError(
                f"{lack}: ask for less, add nodes, or set cluster.autoscaling: true where nodes"
                " are added on demand"
            )
        time.sleep(0.5)


def free_in_words(connection: Connection) -> str:
    """What nobody has reserved at this moment, and what there is in all."""
    ray = connection.ray
    free, there = map(connection.ask, (ray.available_resources, ray.cluster_resources))
    return f"free are {_in_words(free)} of {_in_words(there)}"


def _places(connection: Connection, one: Reservation) -> float:
    nodes = [node for node in connection.ask(connection.ray.nodes) if node["Alive"]]
    return sum(one.places_on(node["Resources"]) for node in nodes)


def _in_words(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{resources.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
