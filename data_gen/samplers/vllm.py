"""Sampling with vLLM, in child processes of its own that give all memory back when they end."""

import json
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_gen.model_ref import ModelRef
from data_gen.samplers.base import Engine, EngineError, Request, Sample
from data_gen.samplers.replica import Replica
from data_gen.samplers.vllm_settings import (
    VllmSettings,
    cpu_build,
    engine_environment,
    engine_options,
)
from data_gen.types import Sampling

# Sequences that wait in the engine behind the batch that is finished next: more than are decoded
# together, so that the last of a batch never decode alone.
_SEQUENCES_AHEAD = 2048
# The ranks that vLLM has kernels for.
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True, slots=True)
class _SubmittedBatch:
    number: int
    requests: int
    sequences: int


class VllmEngine(Engine):
    """One or several vLLM processes that serve several models one after another.

    With `data_parallel_size` above one each process holds the whole model, on GPUs of its own,
    and samples its share of every batch.
    """

    def __init__(self, settings: VllmSettings) -> None:
        super().__init__()
        self._settings = settings
        self._replicas: list[Replica] = []
        self._batches = 0

    def load(self, model: ModelRef) -> None:
        options = engine_options(self._settings)
        if model.adapter is not None:
            options |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": _rank(model.adapter)}
        with self._closed_on_error():
            if not self._replicas:
                self._start()
            for replica in self._replicas:
                replica.load(model, options)
            loaded, *_ = [replica.loaded() for replica in self._replicas]
        self._context_tokens = loaded["context_tokens"]
        self._description = {"engine": "vllm", **loaded["facts"], **self._flags(model.adapter)}

    def stream(
        self, batches: Iterable[Sequence[Request]], sampling: Sampling
    ) -> Generator[list[list[Sample]]]:
        if not self._replicas:
            raise EngineError("vLLM cannot sample: no model is loaded")
        source = iter(batches)
        inside: deque[_SubmittedBatch] = deque()
        try:
            while True:
                while sum(batch.sequences for batch in list(inside)[1:]) < _SEQUENCES_AHEAD:
                    requests = next(source, None)
                    if requests is None:
                        break
                    inside.append(self._submit(requests, sampling))
                if not inside:
                    return
                answers = self._answers(inside[0])
                inside.popleft()
                yield answers
        finally:
            if inside:
                self._drop(inside[-1].number)

    def close(self) -> None:
        for replica in self._replicas:
            replica.close()
        self._replicas = []

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except EngineError:
            self.close()
            raise

    def _start(self) -> None:
        settings = self._settings
        count = settings.data_parallel_size
        environment = engine_environment(settings)
        shares: list[dict[str, str]] = [{}] * count
        if count > 1 and not cpu_build():
            each = settings.tensor_parallel_size * settings.pipeline_parallel_size
            shares = [{"CUDA_VISIBLE_DEVICES": share} for share in device_shares(count, each)]
        for share in shares:
            self._replicas.append(Replica(environment | share))

    def _flags(self, adapter: str | None) -> dict[str, str]:
        given = self._settings.result_settings
        flags = {k: v for k, v in given.items() if k not in ("kind", "dtype", "lora", "options")}
        flags |= self._settings.options
        if adapter is not None:
            flags["lora"] = adapter
        return {key: str(value) for key, value in flags.items() if value is not None}

    def _submit(self, requests: Sequence[Request], sampling: Sampling) -> _SubmittedBatch:
        self._batches += 1
        with self._closed_on_error():
            for number, replica in enumerate(self._replicas[: len(requests)]):
                share = requests[number :: len(self._replicas)]
                replica.submit(self._batches, share, sampling)
        return _SubmittedBatch(self._batches, len(requests), len(requests) * sampling.samples)

    def _answers(self, batch: _SubmittedBatch) -> list[list[Sample]]:
        answers: list[list[Sample]] = [[]] * batch.requests
        with self._closed_on_error():
            for number, replica in enumerate(self._replicas[: batch.requests]):
                answers[number :: len(self._replicas)] = replica.answers(batch.number)
        return answers

    def _drop(self, last: int) -> None:
        """Ends the batches up to this number, which nobody waits for any more."""
        for replica in self._replicas:
            try:
                replica.drop(last)
            except EngineError:  # it has ended, and the reason is on its way or was given
                self.close()
                return


def device_shares(count: int, each: int) -> list[str]:
    """`count` values of CUDA_VISIBLE_DEVICES with `each` devices, no device in two of them.

    Raises EngineError where the variable is set and names too few.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(n) for n in range(count * each)] if visible is None else visible.split(",")
    if len(names) < count * each:
        raise EngineError(
            f"data_parallel_size {count} with {each} devices each needs {count * each} devices;"
            f" CUDA_VISIBLE_DEVICES names {len(names)}"
        )
    return [",".join(names[n * each : (n + 1) * each]) for n in range(count)]


def _rank(adapter: str) -> int:
    """The least rank that vLLM serves and that holds the adapter's. Raises EngineError."""
    folder = Path(adapter)
    try:
        rank = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["r"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(
            f"{adapter} holds no LoRA adapter", f"adapter_config.json: {error}"
        ) from error
    if not (folder / "adapter_model.safetensors").is_file():
        raise EngineError(f"{adapter} holds no LoRA adapter: no adapter_model.safetensors")
    fitting = [one for one in _RANKS if isinstance(rank, int) and 0 < rank <= one]
    if not fitting:
        raise EngineError(f"{adapter}: rank {rank} is not in 1 .. {_RANKS[-1]}, as vLLM needs it")
    return fitting[0]
