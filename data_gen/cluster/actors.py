"""What runs on the cluster's nodes."""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from data_gen.cluster.shared_engine import ModelLoad, SharedEngine
from data_gen.samplers import SamplerSettings, start_engine
from data_gen.samplers.base import EngineError
from data_gen.samplers.wire import PackedRequests, PackedSamples, pack_samples, unpack_requests
from data_gen.types import Sampling, Verdict
from data_gen.verifiers import Settings

_THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Loaded:
    """An engine with a model loaded, and the node that it is on."""

    node: str
    description: dict[str, str]
    context_tokens: int


def check_alike(own: Loaded, first: Loaded) -> None:
    """Raises EngineError where an engine would sample otherwise than the first one loaded."""
    ours, others = (
        {**one.description, "context_tokens": str(one.context_tokens)} for one in (own, first)
    )
    difference = ", ".join(
        f"{name} {ours.get(name, '')!r} instead of {others.get(name, '')!r}"
        for name in dict.fromkeys((*ours, *others))
        if ours.get(name) != others.get(name)
    )
    if difference:
        raise EngineError(
            f"cluster: node {own.node} would sample otherwise than node {first.node}",
            f"{difference}; name one sampler.kind, take nodes of one version and kind of GPU",
        )


def own_threads() -> str | None:
    """The number of threads that is set for this process, for an actor to have the same."""
    return os.environ.get(_THREADS)


def _begin(threads: str | None) -> None:
    """An actor has the environment that its node was started in, where anything may be said.

    Of threads Ray says as many as it reserves cores, which engines would compute with and record.
    """
    if threads is None:
        os.environ.pop(_THREADS, None)
    else:
        os.environ[_THREADS] = threads


class EngineActor:
    """An inference engine with one model at a time, for several calls at once."""

    def __init__(self, settings: SamplerSettings, threads: str | None) -> None:
        _begin(threads)
        self._engine = SharedEngine(partial(start_engine, settings))
        self._loaded: dict[ModelLoad, Loaded] = {}

    def load(self, load: ModelLoad) -> Loaded:
        """What the engine is with the model, and the node that it is on."""
        import ray

        engine = self._engine.load(load)
        node = f"{ray.util.get_node_ip_address()} ({ray.get_runtime_context().get_node_id()[:8]})"
        self._loaded = {load: Loaded(node, engine.description, engine.context_tokens)}
        return self._loaded[load]

    def sample(
        self,
        load: ModelLoad,
        first: Loaded,
        sampling: Sampling,
        packed: PackedRequests,
        payload: bytes,
    ) -> tuple[PackedSamples, bytes]:
        """Packed samples for packed requests; an actor that was started again loads the model."""
        check_alike(self._loaded.get(load) or self.load(load), first)
        requests = unpack_requests(packed, payload)
        return pack_samples(self._engine.sample(load, requests, sampling))


class VerifierActor:
    """A verifier with processes of its own on the node."""

    def __init__(self, settings: Settings, threads: str | None) -> None:
        _begin(threads)
        self._verify = settings.open()
        self._turn = threading.Lock()

    def verify(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        with self._turn:
            return self._verify(pairs)


class CallActor:
    """A process on a node for one piece of work."""

    def __init__(self, threads: str | None) -> None:
        _begin(threads)

    def call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return work(*arguments)
