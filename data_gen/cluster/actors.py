"""What runs on the cluster's nodes."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from data_gen.cluster.shared_engine import SharedEngine
from data_gen.remote_code import no_remote_code
from data_gen.samplers import SamplerSettings, start_engine
from data_gen.samplers.base import Engine, EngineError
from data_gen.samplers.wire import pack_samples, unpack_requests
from data_gen.types import Sampling, Verdict
from data_gen.verifiers import VerifierSettings

_SAMPLER: TypeAdapter[Any] = TypeAdapter(SamplerSettings)
_VERIFIER: TypeAdapter[Any] = TypeAdapter(VerifierSettings)
_THREADS = "OMP_NUM_THREADS"
# A number, higher than that of the one before, and what `Engine.load` takes.
Model = tuple[int, str, str | None, str | None]


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
    no_remote_code()
    if threads is None:
        os.environ.pop(_THREADS, None)
    else:
        os.environ[_THREADS] = threads


class EngineActor:
    """An inference engine with one model at a time, for several calls at once."""

    def __init__(self, settings: str, threads: str | None) -> None:
        _begin(threads)
        self._start = partial(start_engine, _SAMPLER.validate_json(settings))
        self._loading = threading.Lock()
        self._engine: SharedEngine | None = None
        self._model: Model | None = None

    def load(self, model: Model) -> Loaded:
        return _loaded(self._with(model).engine)

    def sample(
        self, model: Model, first: Loaded, value: dict[str, Any], payload: bytes, sampling: str
    ) -> tuple[dict[str, Any], bytes]:
        """Packed samples for packed requests."""
        shared = self._with(model)
        check_alike(_loaded(shared.engine), first)
        requests = unpack_requests(value, payload)
        return pack_samples(shared.sample(requests, Sampling.model_validate_json(sampling)))

    def _with(self, model: Model) -> SharedEngine:
        """The engine with a model, which an actor that was started again has to load again.

        Raises CancelledError where a later model was asked for.
        """
        with self._loading:
            if self._model is not None and model[0] < self._model[0]:
                raise CancelledError
            if self._engine is None:
                self._engine = SharedEngine(self._start(*model[1:]))
            elif self._model != model or self._engine.is_lost:
                self._model = None
                self._engine.load(*model[1:])
            self._model = model
            return self._engine


class VerifierActor:
    """A verifier with processes of its own on the node."""

    def __init__(self, settings: str, threads: str | None) -> None:
        _begin(threads)
        self._verify = _VERIFIER.validate_json(settings).open()
        self._turn = threading.Lock()

    def verify(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        with self._turn:
            verdicts: list[Verdict] = self._verify(pairs)
        return verdicts


class CallActor:
    """A process on a node for one piece of work."""

    def __init__(self, threads: str | None) -> None:
        _begin(threads)

    def call(self, work: Callable[..., Any], named: Mapping[str, Any], *arguments: Any) -> Any:
        return work(*arguments, **named)


def _loaded(engine: Engine) -> Loaded:
    """With the machine's address, and a short form of the node's own name in the cluster."""
    import ray

    node = f"{ray.util.get_node_ip_address()} ({ray.get_runtime_context().get_node_id()[:8]})"
    return Loaded(node, engine.description, engine.context_tokens)
