"""Single calls on the nodes of a Ray cluster."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from data_gen.cluster.actors import CallActor, own_threads
from data_gen.cluster.connection import connected
from data_gen.cluster.settings import ClusterSettings
from data_gen.cluster.workers import Worker
from data_gen.processes.closing import Closing


class ClusterCalls(Closing):
    """Calls on nodes, each with what `cluster` reserves for a training; for several threads.

    Raises ClusterError where the cluster is missing; when `stopped` is set the calls end.
    """

    def __init__(self, cluster: ClusterSettings, stopped: threading.Event) -> None:
        self._cluster = cluster
        self._stopped = stopped
        self._resources = {"CPU": cluster.cpus_per_training, "GPU": cluster.gpus_per_training}
        self._stack = ExitStack()
        self._connection = self._stack.enter_context(connected(cluster.address))

    def shared(self, value: Any) -> Any:
        """Stands for `value` among the arguments of calls, and is sent to each node once."""
        return self._connection.ask(self._connection.ray.put, value)

    def __call__(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """`work(*arguments, **named)` in a process of its own, which may start others.

        A call whose process or node has gone is made again. Raises what `work` and `Worker.result`
        raise.
        """
        with Worker(
            self._connection,
            self._cluster,
            "a training",
            self._resources,
            CallActor,
            own_threads(),
            # With an end to them, so that the last loss says whether memory was the reason.
            max_restarts=self._cluster.restarts,
        ) as worker:
            return worker.result(worker.call("call", work, named, *arguments), self._stopped)

    def close(self) -> None:
        self._stack.close()


def seen_from_anywhere(model: str) -> str:
    """A model's name in the hub as it is; a folder by its whole path, which nodes must share."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model
