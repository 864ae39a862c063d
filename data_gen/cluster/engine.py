"""Engines on the nodes of a Ray cluster, as one engine."""

from collections.abc import Generator, Iterable, Sequence

from data_gen.cluster.actors import EngineActor, Loaded, check_alike, own_threads
from data_gen.cluster.settings import ClusterSettings
from data_gen.cluster.shared_engine import ModelLoad
from data_gen.cluster.tasks import model_on_nodes
from data_gen.cluster.workers import Workers
from data_gen.model_ref import ModelRef
from data_gen.samplers import SamplerSettings
from data_gen.samplers.base import Engine, EngineError, Request, Sample
from data_gen.samplers.wire import pack_requests, unpack_samples
from data_gen.types import Sampling


class RayEngine(Engine):
    """An actor per replica; batches go to the replica with the fewest waiting.

    What is sampled for a request depends on it alone, so that neither the number of replicas nor
    their failures show in the results. A model's folder must be readable on every node.
    """

    def __init__(self, cluster: ClusterSettings, settings: SamplerSettings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._workers: Workers | None = None
        self._loads = 0
        self._loaded: tuple[ModelLoad, Loaded] | None = None

    def load(self, model: ModelRef) -> None:
        if self._workers is None:
            self._workers = self._started()
        self._loads += 1
        asked = ModelLoad(self._loads, model_on_nodes(model))
        first, *others = self._workers.each("load", asked)
        for other in others:
            check_alike(other, first)
        self._loaded = asked, first

    def stream(
        self, batches: Iterable[Sequence[Request]], sampling: Sampling
    ) -> Generator[list[list[Sample]]]:
        if self._workers is None or self._loaded is None:
            raise EngineError("the cluster cannot sample: no model is loaded")
        setup = *self._loaded, sampling
        calls = ((*setup, *pack_requests(requests)) for requests in batches)
        for answer in self._workers.stream("sample", calls):
            yield unpack_samples(*answer)

    @property
    def description(self) -> dict[str, str]:
        return {} if self._loaded is None else dict(self._loaded[1].description)

    @property
    def context_tokens(self) -> int:
        if self._loaded is None:
            raise EngineError("the cluster has no context: no model is loaded")
        return self._loaded[1].context_tokens

    def close(self) -> None:
        workers, self._workers, self._loaded = self._workers, None, None
        if workers is not None:
            workers.close()

    def _started(self) -> Workers:
        cluster = self._cluster
        resources = {"CPU": cluster.cpus_per_replica, "GPU": cluster.gpus_per_replica}
        actor = EngineActor, self._settings, own_threads()
        return Workers(cluster, cluster.replicas, "an engine", resources, *actor)
