"""Actors on the nodes of a cluster, which Ray starts again, with their calls, when they end."""

import logging
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from threading import Event
from typing import Any

from data_gen.cluster.connection import Connection, connected
from data_gen.cluster.head import ClusterError
from data_gen.cluster.settings import ClusterSettings
from data_gen.processes.closing import Closing
from data_gen.samplers.base import EngineError, EngineLost

logger = logging.getLogger(__name__)

# Calls that wait at each worker behind the one that is finished next, at most: the back-pressure.
_CALLS_AHEAD = 2
_WARN_AFTER_SECONDS = 10


class Worker(Closing):
    """One actor of the class `kind`, made of `arguments`, with CPUs and GPUs of its own.

    `what` it is, in words.
    """

    def __init__(
        self,
        connection: Connection,
        settings: ClusterSettings,
        what: str,
        resources: Mapping[str, float],
        kind: type,
        *arguments: Any,
        max_restarts: int = -1,
        wait_seconds: float = math.inf,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._what = what
        self._resources = resources
        self._wait_seconds = wait_seconds
        actor_class = connection.ray.remote(kind).options(
            num_cpus=resources["CPU"],
            num_gpus=resources.get("GPU", 0),
            scheduling_strategy="SPREAD",
            max_restarts=max_restarts,
            max_task_retries=settings.restarts,
            # The calls of `Workers.stream`, a load, and one that is answered at once.
            max_concurrency=_CALLS_AHEAD + 3,
        )
        self.actor = connection.ask(actor_class.remote, *arguments)

    def call(self, method: str, *arguments: Any) -> Any:
        """Begins a call of a method; the reference to its answer."""
        return self._connection.ask(
            lambda: (
                getattr(self.actor, method)
                .options(retry_exceptions=[EngineLost])
                .remote(*arguments)
            )
        )

    def result(self, reference: Any, stopped: Event | None = None) -> Any:
        """The answer to a call, which waits while the actor has no place on a node.

        Raises what the call raised, EngineError where its node ran out of memory once more than
        `restarts`, and ClusterError where the call was lost as often otherwise, the actor had no
        place for `wait_seconds`, no node is large enough, or `stopped` is set.
        """
        ask, ray = self._connection.ask, self._connection.ray
        ready, since, is_warned = None, 0.0, False
        while not self._connection.is_done(reference):
            if stopped is not None and stopped.is_set():
                raise ClusterError("cluster: this work was stopped with other work")
            seconds = time.monotonic() - since
            if ready is None or self._connection.is_done(ready, 0):
                ready, since, is_warned = self.call("__ray_ready__"), time.monotonic(), False
            elif seconds > (self._wait_seconds if self._fits() else self._settings.wait_seconds):
                raise ClusterError(f"cluster: {self._lack(seconds)}")
            elif seconds > _WARN_AFTER_SECONDS and not is_warned:
                logger.warning("cluster: %s", self._lack(seconds))
                is_warned = True
        try:
            return ask(ray.get, reference)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ray.exceptions.RayError as error:
            # Too much for a node's memory is the work's own fault, and no other's.
            is_memory = isinstance(error, ray.exceptions.OutOfMemoryError)
            lost = f"the cluster lost this work (cluster.restarts: {self._settings.restarts})"
            raise (EngineError if is_memory else ClusterError)(lost, error) from error

    def close(self) -> None:
        """Ends the actor. Never fails: the end of the cluster is that of its actors."""
        ray = self._connection.ray
        with suppress(ClusterError, ray.exceptions.RayError):
            self._connection.ask(ray.kill, self.actor, no_restart=True)

    def _fits(self) -> bool:
        """Whether an empty node of the cluster has place for the actor."""
        nodes = self._connection.ask(self._connection.ray.nodes)
        return any(
            all(node["Resources"].get(name, 0) >= count for name, count in self._resources.items())
            for node in nodes
            if node["Alive"]
        )

    def _lack(self, seconds: float) -> str:
        ray, ask = self._connection.ray, self._connection.ask
        free, there = ask(ray.available_resources), ask(ray.cluster_resources)
        return (
            f"{self._what} has been waiting for a place for {seconds:.0f} s: it needs"
            f" {_in_words(self._resources)}; free are {_in_words(free)} of {_in_words(there)}"
        )


class Workers(Closing):
    """Equal actors that share calls; closing it ends them and leaves the cluster.

    Raises ClusterError where the cluster is missing or has no place for them.
    """

    def __init__(self, settings: ClusterSettings, count: int, *actor: Any) -> None:
        """`actor`: what `Worker` takes, from `what` to its `arguments`."""
        self.all: list[Worker] = []
        seconds = settings.wait_seconds
        with ExitStack() as stack:
            connection = stack.enter_context(connected(settings.address))
            for _ in range(count):
                worker = Worker(connection, settings, *actor, wait_seconds=seconds)
                self.all.append(stack.enter_context(worker))
            self.each("__ray_ready__")
            self._stack = stack.pop_all()

    def each(self, method: str, *arguments: Any) -> list[Any]:
        """What every worker answers to a call."""
        asked = [(worker, worker.call(method, *arguments)) for worker in self.all]
        return [worker.result(reference) for worker, reference in asked]

    def stream(self, method: str, calls: Iterable[Sequence[Any]]) -> Iterator[Any]:
        """The answers to calls, in their order; each goes to the worker with the fewest waiting."""
        source = iter(calls)
        inside: deque[tuple[Worker, Any]] = deque()
        most = (_CALLS_AHEAD + 1) * len(self.all)
        while True:
            while len(inside) < most and (arguments := next(source, None)) is not None:
                waiting = [worker for worker, _ in inside]
                least = min(self.all, key=waiting.count)
                inside.append((least, least.call(method, *arguments)))
            if not inside:
                return
            worker, reference = inside.popleft()
            yield worker.result(reference)

    def close(self) -> None:
        self._stack.close()


def _in_words(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{resources.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
