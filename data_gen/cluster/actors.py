"""What runs on the cluster's nodes."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from data_gen.cluster.shared_engine import SharedEngine
from data_gen.remote_code import no_remote_code
from data_gen.samplers import SamplerSettings, start_engine
from data_gen.samplers.wire import pack_samples, unpack_requests
from data_gen.types import Sampling, Verdict
from data_gen.verifiers import VerifierSettings

_SAMPLER: TypeAdapter[Any] = TypeAdapter(SamplerSettings)
_VERIFIER: TypeAdapter[Any] = TypeAdapter(VerifierSettings)
_THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Loaded:
    """An engine with a model loaded, and the node that it is on."""

    node: str
    description: dict[str, str]
    context_tokens: int

    def difference(self, other: "Loaded") -> str:
        """In what it would sample otherwise, in words; empty where it would not."""
        own, others = (
            {**one.description, "context_tokens": str(one.context_tokens)} for one in (self, other)
        )
        return ", ".join(
            f"{name} {own.get(name, '')!r} instead of {others.get(name, '')!r}"
            for name in dict.fromkeys((*own, *others))
            if own.get(name) != others.get(name)
        )


def own_threads() -> str | None:
    """What this process was told of threads, for an actor to be told the same."""
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
        self._engine = SharedEngine(partial(start_engine, _SAMPLER.validate_json(settings)))

    def load(self, model: str, revision: str | None, adapter: str | None) -> Loaded:
        """What the engine is with the model loaded."""
        engine = self._engine.load(model, revision, adapter)
        return Loaded(_node(), engine.description, engine.context_tokens)

    def sample(
        self, value: dict[str, Any], payload: bytes, sampling: str
    ) -> tuple[dict[str, Any], bytes]:
        """Packed samples for packed requests."""
        requests = unpack_requests(value, payload)
        return pack_samples(self._engine.sample(requests, Sampling.model_validate_json(sampling)))


class VerifierActor:
    """A verifier with processes of its own on the node."""

    def __init__(self, settings: str, threads: str | None) -> None:
        _begin(threads)
        self._verify = _VERIFIER.validate_json(settings).open()

    def ready(self) -> bool:
        return True

    def verify(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        verdicts: list[Verdict] = self._verify(pairs)
        return verdicts


class CallActor:
    """A process on a node for one piece of work."""

    def __init__(self, threads: str | None) -> None:
        _begin(threads)

    def call(self, work: Callable[..., Any], named: Mapping[str, Any], *arguments: Any) -> Any:
        return work(*arguments, **named)


def _node() -> str:
    """The address of the machine, and a short form of the node's own name in the cluster."""
    import ray

    return f"{ray.util.get_node_ip_address()} ({ray.get_runtime_context().get_node_id()[:8]})"
