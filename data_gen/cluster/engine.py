"""Engines on the nodes of a Ray cluster, as one engine."""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from data_gen.cluster.actors import EngineActor, Loaded, own_threads
from data_gen.cluster.connection import Connection
from data_gen.cluster.places import Reservation, check_places
from data_gen.cluster.settings import ClusterSettings
from data_gen.cluster.tasks import seen_from_anywhere
from data_gen.cluster.worker import Worker, is_lost
from data_gen.samplers import SamplerSettings
from data_gen.samplers.base import Engine, EngineError, Request, Sample
from data_gen.samplers.wire import pack_requests, unpack_samples
from data_gen.types import Sampling


@dataclass(slots=True)
class _Batch:
    worker: int
    packed: tuple[dict[str, Any], bytes]
    answer: Any
    tries: int = 0


class RayEngine(Engine):
    """An actor per replica; batches go to the replica with the fewest waiting.

    What is sampled for a request depends on it alone, so that neither the number of replicas nor
    their failures show in the results: a batch whose worker has ended is sampled again by a new
    one. A model's folder must be readable on every node.
    """

    def __init__(self, cluster: ClusterSettings, settings: SamplerSettings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._connection: Connection | None = None
        self._workers: list[Worker] = []
        self._model: tuple[str, str | None, str | None] | None = None
        self._loaded: Loaded | None = None

    def load(self, model: str, revision: str | None = None, adapter: str | None = None) -> None:
        folder = None if adapter is None else seen_from_anywhere(adapter)
        self._model = (seen_from_anywhere(model), revision, folder)
        if self._connection is None:
            self._begin(Connection(self._cluster))
        for worker in self._workers:
            worker.prepare()
        for worker in self._workers:
            worker.ready()
        self._loaded = self._workers[0].about
        for worker in self._workers:
            self._check_alike(worker)

    def stream(
        self, batches: Iterable[Sequence[Request]], sampling: Sampling
    ) -> Generator[list[list[Sample]]]:
        self._connected()
        settings = sampling.model_dump_json()
        most = (self._cluster.chunks_ahead + 1) * len(self._workers)
        source = iter(batches)
        inside: deque[_Batch] = deque()
        while True:
            while len(inside) < most and (requests := next(source, None)) is not None:
                waiting = [batch.worker for batch in inside]
                least = min(range(len(self._workers)), key=waiting.count)
                batch = _Batch(least, pack_requests(requests), None)
                self._submit(batch, settings)
                inside.append(batch)
            if not inside:
                return
            yield unpack_samples(*self._answer(inside, settings))
            inside.popleft()

    @property
    def description(self) -> dict[str, str]:
        return {} if self._loaded is None else dict(self._loaded.description)

    @property
    def context_tokens(self) -> int:
        if self._loaded is None:
            raise EngineError("the cluster has no context: no model is loaded")
        return self._loaded.context_tokens

    def close(self) -> None:
        workers, self._workers, self._loaded = self._workers, [], None
        connection, self._connection = self._connection, None
        try:
            for worker in workers:
                worker.end()
        finally:
            if connection is not None:
                connection.close()

    def _begin(self, connection: Connection) -> None:
        cluster, count = self._cluster, self._cluster.replicas
        one = Reservation("an engine", cluster.cpus_per_replica, cluster.gpus_per_replica)
        try:
            check_places(connection, cluster, one, count)
            self._workers = [self._worker(connection, one) for _ in range(count)]
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _connected(self) -> Connection:
        if self._connection is None:
            raise EngineError("the cluster cannot sample: no model is loaded")
        return self._connection

    def _worker(self, connection: Connection, one: Reservation) -> Worker:
        actor = connection.ray.remote(EngineActor).options(
            num_cpus=one.cpus,
            num_gpus=one.gpus,
            scheduling_strategy="SPREAD",
            # The chunks that are handed in at most, and what else an actor is asked.
            max_concurrency=self._cluster.chunks_ahead + 3,
        )
        start = partial(actor.remote, self._settings.model_dump_json(), own_threads())
        return Worker(connection, one, start, self._load, self._cluster)

    def _load(self, actor: Any) -> Any:
        if self._model is None:
            raise EngineError("the cluster has no model to load")
        return actor.load.remote(*self._model)

    def _check_alike(self, worker: Worker) -> None:
        """Raises EngineError where a worker would sample otherwise than the first one loaded."""
        own, first = worker.about, self._loaded
        if first is not None and (difference := own.difference(first)):
            raise EngineError(
                f"cluster: node {own.node} would sample otherwise than node {first.node}",
                f"{difference}; name one sampler.kind, take nodes of one version and kind of GPU",
            )

    def _submit(self, batch: _Batch, settings: str) -> None:
        actor = self._workers[batch.worker].actor
        batch.answer = self._connected().ask(actor.sample.remote, *batch.packed, settings)

    def _answer(self, inside: deque[_Batch], settings: str) -> tuple[dict[str, Any], bytes]:
        """The first batch's answer; what waits at a worker that has ended is handed in again."""
        connection = self._connected()
        exceptions = connection.ray.exceptions
        first = inside[0]
        while True:
            try:
                answer: tuple[dict[str, Any], bytes] = connection.result(first.answer)
            except exceptions.RayTaskError as error:
                if not is_lost(error):
                    raise EngineError("the cluster cannot sample", error.cause) from error
                self._again(inside, settings, error.cause)
            except exceptions.RayError as error:
                self._again(inside, settings, error)
            else:
                return answer

    def _again(self, inside: deque[_Batch], settings: str, error: Exception) -> None:
        """A new worker for all that waits at the one that has ended with the first batch."""
        first = inside[0]
        if first.tries == self._cluster.restarts:
            raise EngineError(
                f"the cluster cannot sample: {first.tries + 1} workers ended at it", error
            ) from error
        first.tries += 1
        worker = self._workers[first.worker]
        worker.again()
        self._check_alike(worker)
        for batch in inside:
            if batch.worker == first.worker:
                self._submit(batch, settings)
