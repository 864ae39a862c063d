"""Sampling with vLLM, in child processes of its own that give all memory back when they end."""

import json
import os
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_gen.process import Child, ChildDied
from data_gen.samplers.base import Engine, EngineError, Request, Sample
from data_gen.samplers.vllm_settings import (
    VllmSettings,
    cpu_build,
    engine_environment,
    engine_options,
)
from data_gen.samplers.wire import pack_requests, unpack_samples
from data_gen.types import Sampling

# Sequences that wait in the engine behind the batch that is finished next: more than are decoded
# together, so that the last of a batch never decode alone.
_SEQUENCES_AHEAD = 2048
# The ranks that vLLM has kernels for.
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True, slots=True)
class _Batch:
    number: int
    requests: int
    sequences: int


class VllmEngine(Engine):
    """One or several vLLM processes that serve several models one after another.

    With `data_parallel_size` above one each process holds the whole model, on GPUs of its own,
    and samples its share of every batch.
    """

    def __init__(self, settings: VllmSettings) -> None:
        self._settings = settings
        self._replicas: list[Child] = []
        self._description: dict[str, str] = {}
        self._context_tokens = 0
        self._batches = 0

    def load(self, model: str, revision: str | None = None, adapter: str | None = None) -> None:
        options = {"model": model, **engine_options(self._settings)}
        if revision is not None:
            options["revision"] = revision
        if adapter is not None:
            options |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": _rank(adapter)}
        if not self._replicas:
            self._start()
        failure = f"vLLM cannot load {model}" + (f" with adapter {adapter}" if adapter else "")
        for replica in self._replicas:
            self._send(replica, {"load": options, "adapter": adapter}, b"", failure)
        loaded = [self._receive(replica, "loaded", None, failure)[0] for replica in self._replicas]
        about = loaded[0]["loaded"]
        self._context_tokens = about.pop("context_tokens")
        self._description = {"engine": "vllm", **about, **self._flags(adapter)}

    def stream(
        self, batches: Iterable[Sequence[Request]], sampling: Sampling
    ) -> Generator[list[list[Sample]]]:
        if not self._replicas:
            raise EngineError("vLLM cannot sample: no model is loaded")
        source = iter(batches)
        inside: deque[_Batch] = deque()
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
                self._drop()

    @property
    def description(self) -> dict[str, str]:
        return self._description

    @property
    def context_tokens(self) -> int:
        return self._context_tokens

    def close(self) -> None:
        for replica in self._replicas:
            replica.kill()
        self._replicas = []

    def _start(self) -> None:
        settings = self._settings
        count = settings.data_parallel_size
        environment = engine_environment(settings)
        shares: list[dict[str, str]] = [{}] * count
        if count > 1 and not cpu_build():
            each = settings.tensor_parallel_size * settings.pipeline_parallel_size
            shares = [{"CUDA_VISIBLE_DEVICES": share} for share in device_shares(count, each)]
        for share in shares:
            self._replicas.append(Child("data_gen.samplers.vllm_worker", environment | share))

    def _flags(self, adapter: str | None) -> dict[str, str]:
        given = self._settings.result_settings
        flags = {k: v for k, v in given.items() if k not in ("kind", "dtype", "lora", "options")}
        flags |= given["options"]
        if adapter is not None:
            flags["lora"] = adapter
        return {key: str(value) for key, value in flags.items() if value is not None}

    def _submit(self, requests: Sequence[Request], sampling: Sampling) -> _Batch:
        self._batches += 1
        for number, replica in enumerate(self._replicas[: len(requests)]):
            value, payload = pack_requests(requests[number :: len(self._replicas)])
            message = {
                "batch": self._batches,
                "requests": value,
                "sampling": sampling.model_dump(exclude={"seed"}),
            }
            self._send(replica, message, payload, "vLLM cannot sample")
        return _Batch(self._batches, len(requests), len(requests) * sampling.samples)

    def _answers(self, batch: _Batch) -> list[list[Sample]]:
        answers: list[list[Sample]] = [[]] * batch.requests
        for number, replica in enumerate(self._replicas[: batch.requests]):
            message, payload = self._receive(replica, "batch", batch.number, "vLLM cannot sample")
            share = unpack_samples(message["samples"], payload)
            answers[number :: len(self._replicas)] = share
        return answers

    def _drop(self) -> None:
        """Ends what nobody waits for any more."""
        for replica in self._replicas:
            try:
                replica.send({"drop": self._batches})
            except ChildDied:
                self.close()
                return

    def _send(self, replica: Child, message: Any, payload: bytes, failure: str) -> None:
        try:
            replica.send(message, payload)
        except ChildDied as error:
            self.close()
            raise EngineError(failure, error) from error

    def _receive(
        self, replica: Child, key: str, value: int | None, failure: str
    ) -> tuple[dict[str, Any], bytes]:
        """The answer with this key and value; older ones belong to what was dropped."""
        while True:
            try:
                message, payload = replica.receive_with_payload()
            except ChildDied as error:
                self.close()
                raise EngineError(failure, error) from error
            if "error" in message:
                self.close()
                raise EngineError(failure, message["error"])
            if key in message and (value is None or message[key] == value):
                return message, payload


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
