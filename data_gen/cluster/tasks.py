"""Single calls on the nodes of a Ray cluster."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NewType

from data_gen.cluster.actors import CallActor, own_threads
from data_gen.cluster.connection import connected
from data_gen.cluster.settings import ClusterSettings
from data_gen.cluster.workers import Worker
from data_gen.model_ref import ModelRef
from data_gen.processes.closing import Closing

SharedValue = NewType("SharedValue", object)
"""A value that several calls share, as `ClusterCalls.shared` gives it."""


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

    def shared(self, value: object) -> SharedValue:
        """Stands for `value` among the arguments of calls, and is sent to each node once."""
        return SharedValue(self._connection.ask(self._connection.ray.put, value))

    def __call__(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """`work(*arguments)` in a process of its own, which may start others.

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
            return worker.result(worker.call("call", work, *arguments), self._stopped)

    def close(self) -> None:
        self._stack.close()


def model_on_nodes(model: ModelRef) -> ModelRef:
    """The model as nodes load it: folders by whole paths, which nodes must share.

    Nodes run no code of a model, whatever the reference says.
    """
    adapter = None if model.adapter is None else _whole_path(model.adapter)
    return ModelRef(_whole_path(model.path), model.revision, adapter)


def _whole_path(path: str) -> str:
    """A name of the hub as it is."""
    return str(Path(path).resolve()) if Path(path).is_dir() else path
