"""Inference engines by name, and the rule that picks one."""

import logging
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from data_gen.model_ref import ModelRef
from data_gen.samplers.base import Engine, EngineError, ModelSampler
from data_gen.samplers.server import ServerEngine
from data_gen.samplers.server_settings import ServerSettings
from data_gen.samplers.settings import DType, EngineSettings
from data_gen.samplers.vllm import VllmEngine
from data_gen.samplers.vllm_settings import VllmSettings

logger = logging.getLogger(__name__)


class TransformersSettings(EngineSettings):
    """transformers' generate: left-padded, in large batches of prompts sorted by length."""

    kind: Literal["transformers"] = "transformers"
    dtype: DType = "auto"
    batch_size: int = Field(default=512, ge=1, description="sequences decoded together")
    threads: int = Field(default=1, ge=1, description="CPU threads; results depend on it")


class AutoSettings(EngineSettings):
    """vLLM where it is installed and starts, else transformers.

    What is said of vLLM here has no bearing on transformers.
    """

    no_matter_to_results: ClassVar[frozenset[str]] = VllmSettings.no_matter_to_results

    kind: Literal["auto"] = "auto"
    dtype: DType = "auto"
    max_num_seqs: int | None = Field(default=None, ge=1, description="as of vllm")
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1, description="as of vllm")
    tensor_parallel_size: int = Field(default=1, ge=1, description="as of vllm")
    data_parallel_size: int = Field(default=1, ge=1, description="as of vllm")

    def vllm(self) -> VllmSettings:
        return VllmSettings(**self.model_dump(exclude={"kind"}))

    def transformers(self) -> TransformersSettings:
        return TransformersSettings(dtype=self.dtype)


SamplerSettings = Annotated[
    AutoSettings | VllmSettings | TransformersSettings | ServerSettings,
    Field(discriminator="kind"),
]
SAMPLERS: dict[str, type[EngineSettings]] = {
    "auto": AutoSettings,
    "vllm": VllmSettings,
    "transformers": TransformersSettings,
    "server": ServerSettings,
}


def start_engine(settings: SamplerSettings, model: ModelRef) -> Engine:
    """An engine with `model` loaded; the caller closes it. Raises EngineError."""
    if model.path.startswith(("/", "./", "../", "~")) and not Path(model.path).is_dir():
        raise EngineError(f"no model folder {model.path}")
    if isinstance(settings, AutoSettings):
        try:
            return start_engine(settings.vllm(), model)
        except EngineError as error:
            logger.warning("vLLM does not start, transformers samples instead (%s)", error)
        return start_engine(settings.transformers(), model)
    engine = _engine(settings)
    try:
        engine.load(model)
    except BaseException:
        engine.close()
        raise
    return engine


def _engine(settings: VllmSettings | TransformersSettings | ServerSettings) -> Engine:
    if isinstance(settings, VllmSettings):
        return VllmEngine(settings)
    if isinstance(settings, ServerSettings):
        return ServerEngine(settings)
    from data_gen.samplers.transformers import TransformersEngine

    return TransformersEngine(settings.dtype, settings.batch_size, settings.threads)


__all__ = [
    "SAMPLERS",
    "AutoSettings",
    "Engine",
    "EngineError",
    "ModelSampler",
    "SamplerSettings",
    "ServerSettings",
    "TransformersSettings",
    "VllmSettings",
    "start_engine",
]
