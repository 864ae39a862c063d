"""Inference engines by name, and the rule that picks one."""

import logging
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from data_gen.samplers.base import Engine, EngineError, ModelSampler
from data_gen.samplers.vllm import VllmEngine, VllmSettings

logger = logging.getLogger(__name__)


class TransformersSettings(BaseModel):
    """transformers' generate: left-padded, in large batches of prompts sorted by length."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["transformers"] = "transformers"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_size: int = Field(default=512, ge=1, description="sequences decoded together")
    threads: int = Field(default=1, ge=1, description="CPU threads; results depend on it")


class AutoSettings(BaseModel):
    """vLLM where it is installed and starts, else transformers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["auto"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"


SamplerSettings = Annotated[
    AutoSettings | VllmSettings | TransformersSettings, Field(discriminator="kind")
]
SAMPLERS: dict[str, type[BaseModel]] = {
    "auto": AutoSettings,
    "vllm": VllmSettings,
    "transformers": TransformersSettings,
}


def start_engine(settings: SamplerSettings, model: str, revision: str | None = None) -> Engine:
    """An engine with `model` loaded; the caller closes it. Raises EngineError."""
    if model.startswith(("/", "./", "../", "~")) and not Path(model).is_dir():
        raise EngineError(f"no model folder {model}")
    engine: Engine
    if isinstance(settings, AutoSettings):
        try:
            return start_engine(VllmSettings(dtype=settings.dtype), model, revision)
        except EngineError as error:
            logger.warning("vLLM does not start, transformers samples instead (%s)", error)
        settings = TransformersSettings(dtype=settings.dtype)
    if isinstance(settings, VllmSettings):
        engine = VllmEngine(settings)
    else:
        from data_gen.samplers.transformers import TransformersEngine

        engine = TransformersEngine(settings.dtype, settings.batch_size, settings.threads)
    try:
        engine.load(model, revision)
    except EngineError:
        engine.close()
        raise
    return engine


__all__ = [
    "SAMPLERS",
    "AutoSettings",
    "Engine",
    "EngineError",
    "ModelSampler",
    "SamplerSettings",
    "TransformersSettings",
    "VllmSettings",
    "start_engine",
]
