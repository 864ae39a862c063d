"""One inference engine at a time, started when it is first needed."""

from collections.abc import Mapping

from data_gen.cluster import ClusterSettings
from data_gen.model_ref import ModelRef
from data_gen.processes.closing import Closing
from data_gen.prompts import render
from data_gen.remote_code import with_remedy
from data_gen.samplers import Engine, ModelSampler, SamplerSettings, ServerSettings, start_engine
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.types import DataError, Problem
from data_gen.verifiers import OpenVerifier, VerifierSettings
from offline_rl.progress import Progress
from offline_rl.settings.data import ModelSettings


class Engines(Closing):
    """Gives samplers for one model after another, all from one engine until it is closed.

    Where the settings leave the dtype open, all run in the one that `base` is stored in: a policy
    and the base it came from are compared in the same precision, whatever dtype training has
    saved, and vLLM's own choice would round a float32 model to half of its bits.
    """

    def __init__(
        self,
        settings: SamplerSettings,
        prompt: str,
        progress: Progress,
        *,
        base: ModelRef,
        cluster: ClusterSettings | None = None,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._base = base
        self._prompt = prompt
        self._progress = progress
        self._engine: Engine | None = None
        self._loaded: ModelRef | None = None

    def sampler(self, model: ModelRef, *, prompt: str | None = None) -> ModelSampler:
        """A sampler of `model`.

        `prompt` takes the place of the usual style of prompts. Raises EngineError where the engine
        does not start, DataError without a tokenizer.
        """
        tokenizer = load_tokenizer(model)
        # A prompt that the tokenizer cannot render fails before an engine takes time to start.
        style = prompt or self._prompt
        render(Problem("any", "", ""), style, tokenizer)
        settings = self._settings
        if not isinstance(settings, ServerSettings) and settings.dtype == "auto":
            dtype = stored_dtype(self._base)
            self._settings = settings.model_copy(update={"dtype": dtype})
        if self._engine is None:
            self._engine = self._started(model)
            self._progress.say(_introduction(self._engine.description))
        elif self._loaded != model:
            self._engine.load(model)
        self._loaded = model
        return ModelSampler(self._engine, tokenizer, style)

    def _started(self, model: ModelRef) -> Engine:
        if self._cluster is None:
            return start_engine(self._settings, model)
        from data_gen.cluster.engine import RayEngine

        engine = RayEngine(self._cluster, self._settings)
        try:
            engine.load(model)
        except BaseException:
            engine.close()
            raise
        return engine

    @property
    def description(self) -> dict[str, str]:
        """Name, version and flags of the engine; empty before the first sampler."""
        return {} if self._engine is None else self._engine.description

    def close(self) -> None:
        """Ends the engine and frees what it held; the next `sampler` starts another."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def _introduction(about: Mapping[str, str]) -> str:
    name = f"engine: {about['engine']} {about['version']}"
    if about["engine"] == "server":
        return f"{name}, which serves {about['served']}"
    return f"{name} on {about['device']}, {about['dtype']}, {about['threads']} threads"


def stored_dtype(model: ModelRef) -> str:
    """The dtype that a model's configuration names; "auto", the engine's choice, if it has none."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(
            model.path, revision=model.revision, trust_remote_code=model.trust_code
        )
    # A folder from anywhere makes the library fail in any way.
    except Exception as error:
        first = with_remedy((str(error).strip() or type(error).__name__).splitlines()[0])
        raise DataError(f"model {model.path!r} has no usable configuration: {first}") from error
    dtype = str(config.get_text_config().dtype).removeprefix("torch.")
    return dtype if dtype in ("float32", "bfloat16", "float16") else "auto"


def opened(verifier: VerifierSettings, cluster: ClusterSettings | None) -> OpenVerifier:
    """A verifier on this machine, or on the cluster where that has verifiers."""
    if cluster is None or cluster.verifiers == 0:
        return verifier.open()
    from data_gen.cluster.verifier import RayVerifier

    return RayVerifier(cluster, verifier)


def engines_of(settings: ModelSettings, sampler: SamplerSettings, progress: Progress) -> Engines:
    """Engines of the kind that `sampler` names, for the settings' model and prompt."""
    base = settings.base_model
    return Engines(sampler, settings.prompt, progress, base=base, cluster=settings.cluster)
