"""Single calls on a node of a Ray cluster."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_gen.cluster.actors import CallActor
from data_gen.cluster.connection import ClusterError, Connection
from data_gen.cluster.places import Reservation, check_places
from data_gen.cluster.settings import ClusterSettings
from data_gen.cluster.worker import Wait
from data_gen.samplers.base import EngineError


def call_on_cluster(
    cluster: ClusterSettings,
    stopped: threading.Event,
    work: Callable[..., Any],
    *arguments: Any,
    **named: Any,
) -> Any:
    """`work(*arguments, **named)` on a node with what `cluster` reserves for a training.

    It has a process of its own, which may start others; a call whose process or node has gone is
    made again. Raises what `work` raises, EngineError where it was lost once more than
    `cluster.restarts`, and ClusterError where no node has place for it, the head is gone, or
    `stopped` is set: then the work is ended.
    """
    connection = Connection(cluster)
    one = Reservation("a training", cluster.cpus_per_training, cluster.gpus_per_training)
    check_places(connection, cluster, one)
    actor_class = connection.ray.remote(CallActor).options(
        num_cpus=one.cpus, num_gpus=one.gpus, scheduling_strategy="SPREAD"
    )
    exceptions = connection.ray.exceptions
    lost = 0
    while True:
        actor = actor_class.remote()
        wait = Wait(connection, one, actor)

        def on_wait(wait: Wait = wait) -> None:
            if stopped.is_set():
                raise ClusterError("cluster: this work was stopped with other work")
            wait.tell_until_placed()

        try:
            return connection.result(actor.call.remote(work, arguments, named), on_wait=on_wait)
        except exceptions.RayTaskError as error:
            raise error.cause from error
        except exceptions.RayError as error:
            lost += 1
            if lost > cluster.restarts:
                raise EngineError(f"the cluster lost this work {lost} times", error) from error
        finally:
            connection.end(actor)


def seen_from_anywhere(model: str) -> str:
    """A model's name in the hub as it is; a folder by its whole path, which nodes must share."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model
