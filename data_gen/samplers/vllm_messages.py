"""What a vLLM process and its parent send each other, as JSON; `kind` says which message it is."""

from typing import Literal, TypedDict

from data_gen.samplers.vllm_settings import Option
from data_gen.samplers.wire import PackedRequests, PackedSamples


class LoadModel(TypedDict):
    """Loads a model in place of the one before."""

    kind: Literal["load"]
    path: str
    revision: str | None
    adapter: str | None
    trust_code: bool
    options: dict[str, Option]
    """Further arguments of vLLM's `LLM`."""


class SamplingArguments(TypedDict):
    """As vLLM's `SamplingParams` names them."""

    n: int
    temperature: float
    top_p: float
    max_tokens: int
    stop: list[str]


class SubmitBatch(TypedDict):
    """Samples for requests; batch numbers rise from 1."""

    kind: Literal["submit"]
    batch: int
    requests: PackedRequests
    sampling: SamplingArguments


class DropBatches(TypedDict):
    """Ends the batches up to number `last`, which get no answer."""

    kind: Literal["drop"]
    last: int


class ModelLoaded(TypedDict):
    """The answer to LoadModel."""

    kind: Literal["loaded"]
    context_tokens: int
    facts: dict[str, str]
    """What vLLM and its platform are, as recorded with the data."""


class BatchDone(TypedDict):
    """The answer to SubmitBatch."""

    kind: Literal["done"]
    batch: int
    samples: PackedSamples


class EngineFailed(TypedDict):
    """The last message: vLLM has raised `error`, as it loaded a model or as it sampled."""

    kind: Literal["failed"]
    error: str
    loading: bool


ToWorker = LoadModel | SubmitBatch | DropBatches
FromWorker = ModelLoaded | BatchDone | EngineFailed
