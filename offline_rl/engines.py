"""One inference engine at a time, started when it is first needed."""

from types import TracebackType
from typing import Self

from data_gen.samplers import Engine, ModelSampler, SamplerSettings, start_engine
from data_gen.samplers.tokenizer import load_tokenizer
from offline_rl.progress import Progress


class Engines:
    """Gives samplers for one model after another, all from one engine until it is closed."""

    def __init__(self, settings: SamplerSettings, prompt: str, progress: Progress) -> None:
        self._settings = settings
        self._prompt = prompt
        self._progress = progress
        self._engine: Engine | None = None
        self._loaded: tuple[str, str | None] | None = None

    def sampler(self, model: str, revision: str | None = None) -> ModelSampler:
        """Raises EngineError where the engine does not start, DataError without a tokenizer."""
        tokenizer = load_tokenizer(model, revision)
        if self._engine is None:
            self._engine = start_engine(self._settings, model, revision)
            about = self._engine.description
            self._progress.say(
                f"engine: {about['engine']} {about['version']} on {about['device']},"
                f" {about['threads']} threads"
            )
        elif self._loaded != (model, revision):
            self._engine.load(model, revision)
        self._loaded = (model, revision)
        return ModelSampler(self._engine, tokenizer, self._prompt)

    @property
    def description(self) -> dict[str, str]:
        """Name, version and flags of the engine; empty before the first sampler."""
        return {} if self._engine is None else self._engine.description

    def close(self) -> None:
        """Ends the engine and frees what it held; the next `sampler` starts another."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
