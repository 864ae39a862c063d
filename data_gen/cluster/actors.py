"""What runs on the cluster's nodes."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from data_gen.cluster.shared_engine import SharedEngine
from data_gen.samplers import SamplerSettings, start_engine
from data_gen.samplers.wire import pack_samples, unpack_requests
from data_gen.types import Sampling, Verdict
from data_gen.verifiers import VerifierSettings

_SAMPLER: TypeAdapter[Any] = TypeAdapter(SamplerSettings)
_VERIFIER: TypeAdapter[Any] = TypeAdapter(VerifierSettings)


class EngineActor:
    """An inference engine with one model at a time, for several calls at once."""

    def __init__(self, settings: str) -> None:
        self._engine = SharedEngine(partial(start_engine, _SAMPLER.validate_json(settings)))

    def load(
        self, model: str, revision: str | None, adapter: str | None
    ) -> tuple[dict[str, str], int]:
        """The engine's description and context length with the model loaded."""
        engine = self._engine.load(model, revision, adapter)
        return engine.description, engine.context_tokens

    def sample(
        self, value: dict[str, Any], payload: bytes, sampling: str
    ) -> tuple[dict[str, Any], bytes]:
        """Packed samples for packed requests."""
        requests = unpack_requests(value, payload)
        return pack_samples(self._engine.sample(requests, Sampling.model_validate_json(sampling)))


class VerifierActor:
    """A verifier with processes of its own on the node."""

    def __init__(self, settings: str) -> None:
        self._verify = _VERIFIER.validate_json(settings).open()

    def ready(self) -> bool:
        return True

    def verify(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        verdicts: list[Verdict] = self._verify(pairs)
        return verdicts


class CallActor:
    """A process on a node for one piece of work."""

    def call(
        self, work: Callable[..., Any], arguments: Sequence[Any], named: Mapping[str, Any]
    ) -> Any:
        return work(*arguments, **named)
