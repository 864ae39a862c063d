"""Single calls on the nodes of a Ray cluster."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from data_gen.cluster.actors import CallActor, own_threads
from data_gen.cluster.connection import Connection
from data_gen.cluster.head import ClusterError
from data_gen.cluster.places import Reservation, check_places
from data_gen.cluster.settings import ClusterSettings
from data_gen.cluster.worker import Wait
from data_gen.processes.closing import Closing
from data_gen.samplers.base import EngineError


class ClusterCalls(Closing):
    """Calls on nodes, each with what `cluster` reserves for a training; for several threads.

    Raises ClusterError where no node has place for one; when `stopped` is set the calls end.
    """

    def __init__(self, cluster: ClusterSettings, stopped: threading.Event) -> None:
        self._cluster = cluster
        self._stopped = stopped
        self._one = Reservation("a training", cluster.cpus_per_training, cluster.gpus_per_training)
        self._connection = Connection(cluster)
        try:
            check_places(self._connection, cluster, self._one)
        except BaseException:
            self.close()
            raise

    def shared(self, value: Any) -> Any:
        """Stands for `value` among the arguments of calls, and is sent to each node once."""
        return self._connection.ask(self._connection.ray.put, value)

    def __call__(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """`work(*arguments, **named)` in a process of its own, which may start others.

        A call whose process or node has gone is made again. Raises what `work` raises, EngineError
        where its node ran out of memory once more than `cluster.restarts`, and ClusterError where
        it was lost as often otherwise, the head is gone, or the calls were stopped.
        """
        connection, ray = self._connection, self._connection.ray
        actor_class = ray.remote(CallActor).options(
            num_cpus=self._one.cpus, num_gpus=self._one.gpus, scheduling_strategy="SPREAD"
        )
        lost = 0
        while True:
            actor = connection.ask(actor_class.remote, own_threads())
            try:
                on_wait = partial(self._on_wait, Wait(connection, self._one, actor))
                answer = connection.ask(actor.call.remote, work, named, *arguments)
                return connection.result(answer, on_wait=on_wait)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                lost += 1
                if lost > self._cluster.restarts:
                    # Too much for a node's memory is the work's own fault, and no other's.
                    memory = isinstance(error, ray.exceptions.OutOfMemoryError)
                    kind = EngineError if memory else ClusterError
                    raise kind(f"the cluster lost this work {lost} times", error) from error
            finally:
                connection.end(actor)

    def close(self) -> None:
        self._connection.close()

    def _on_wait(self, wait: Wait) -> None:
        if self._stopped.is_set():
            raise ClusterError("cluster: this work was stopped with other work")
        wait.tell_until_placed()


def seen_from_anywhere(model: str) -> str:
    """A model's name in the hub as it is; a folder by its whole path, which nodes must share."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model
