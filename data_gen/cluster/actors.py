"""What runs on the cluster's nodes."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from data_gen.samplers import Engine, SamplerSettings, start_engine
from data_gen.samplers.wire import pack_samples, unpack_requests
from data_gen.types import Sampling, Verdict
from data_gen.verifiers import VerifierSettings

_SAMPLER: TypeAdapter[Any] = TypeAdapter(SamplerSettings)
_VERIFIER: TypeAdapter[Any] = TypeAdapter(VerifierSettings)


class EngineActor:
    """An inference engine with one model at a time."""

    def __init__(self, settings: str) -> None:
        self._settings = _SAMPLER.validate_json(settings)
        self._engine: Engine | None = None

    def load(
        self, model: str, revision: str | None, adapter: str | None
    ) -> tuple[dict[str, str], int]:
        """The engine's description and context length with the model loaded."""
        if self._engine is None:
            self._engine = start_engine(self._settings, model, revision, adapter)
        else:
            self._engine.load(model, revision, adapter)
        return self._engine.description, self._engine.context_tokens

    def sample(
        self, value: dict[str, Any], payload: bytes, sampling: str
    ) -> tuple[dict[str, Any], bytes]:
        """Packed samples for packed requests."""
        if self._engine is None:
            raise RuntimeError("no model is loaded")
        requests = unpack_requests(value, payload)
        return pack_samples(self._engine.generate(requests, Sampling.model_validate_json(sampling)))


class VerifierActor:
    """A verifier with processes of its own on the node."""

    def __init__(self, settings: str) -> None:
        self._verify = _VERIFIER.validate_json(settings).open()

    def ready(self) -> bool:
        return True

    def verify(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        verdicts: list[Verdict] = self._verify(pairs)
        return verdicts
