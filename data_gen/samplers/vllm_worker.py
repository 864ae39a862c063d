"""The child process that holds vLLM; started by data_gen.samplers.vllm.

Requests of several batches are in the engine at once, so that it never runs dry between two.
"""

import gc
import os
import queue
import threading
from array import array
from functools import cache
from typing import Any

from data_gen.processes.child import Parent
from data_gen.samplers.base import Request, Sample
from data_gen.samplers.vllm_messages import (
    BatchDone,
    DropBatches,
    EngineFailed,
    FromWorker,
    LoadModel,
    ModelLoaded,
    SubmitBatch,
    ToWorker,
)
from data_gen.samplers.wire import pack_samples, unpack_requests


class PendingBatch:
    """Requests that are answered together, by their numbers in the engine."""

    def __init__(self, number: int, requests: list[str]) -> None:
        self.number = number
        self.requests = requests
        self.outputs: dict[str, Any] = {}


class VllmWorker:
    """Answers LoadModel and SubmitBatch."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._llm: Any = None
        self._adapter: Any = None
        self._batches: dict[str, PendingBatch] = {}
        self._loading = False
        # Answers leave in a thread, so that sampling goes on while the parent reads them later.
        self._outbox: queue.SimpleQueue[tuple[FromWorker, bytes]] = queue.SimpleQueue()
        threading.Thread(target=self._deliver, daemon=True).start()

    def run(self) -> None:
        try:
            while True:
                while not self._batches or self._parent.waiting():
                    self._take(*self._parent.take())
                self._step()
        except Exception as error:  # every failure of the engine is the parent's to report
            said = f"{type(error).__name__}: {error}"
            failed = EngineFailed(kind="failed", error=said, loading=self._loading)
            self._outbox.put((failed, b""))
            # The end of this process would overtake the report.
            while True:
                self._parent.take()

    def _deliver(self) -> None:
        while True:
            self._parent.send(*self._outbox.get())

    def _take(self, message: ToWorker, payload: bytes) -> None:
        if message["kind"] == "load":
            self._loading = True
            self._outbox.put((self._load(message), b""))
            self._loading = False
        elif message["kind"] == "submit":
            self._add(message, unpack_requests(message["requests"], payload))
        else:
            self._drop(message)

    def _load(self, message: LoadModel) -> ModelLoaded:
        self._llm = None
        gc.collect()
        _import_vllm()
        import torch
        import vllm
        from vllm.lora.request import LoRARequest

        self._llm = vllm.LLM(
            model=message["path"],
            revision=message["revision"],
            trust_remote_code=message["trust_code"],
            **message["options"],
            seed=0,
            load_format="safetensors",
            disable_log_stats=True,
        )
        adapter = message["adapter"]
        self._adapter = None if adapter is None else LoRARequest("adapter", 1, adapter)
        # Shapes that the kernels do not serve show with the first token only. Seeded, as all our
        # requests are: without a seed vLLM prepares a sampler that none of them takes.
        self._llm.generate(
            [{"prompt_token_ids": [0]}],
            vllm.SamplingParams(max_tokens=1, seed=0),
            use_tqdm=False,
            lora_request=self._adapter,
        )
        return ModelLoaded(
            kind="loaded",
            context_tokens=self._llm.model_config.max_model_len,
            facts={
                "version": vllm.__version__,
                "torch": torch.__version__,
                "device": vllm.platforms.current_platform.device_name,
                "dtype": str(self._llm.model_config.dtype).removeprefix("torch."),
                "threads": os.environ.get("OMP_NUM_THREADS", ""),
            },
        )

    def _add(self, message: SubmitBatch, requests: list[Request]) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        sampling = message["sampling"]
        ids = self._llm.enqueue(
            [{"prompt_token_ids": list(request.tokens)} for request in requests],
            [
                SamplingParams(
                    seed=request.seed,
                    logprobs=0,
                    flat_logprobs=True,
                    # Only stop strings need the text token by token: a tenth of the time.
                    detokenize=bool(sampling["stop"]),
                    output_kind=RequestOutputKind.FINAL_ONLY,
                    **sampling,
                )
                for request in requests
            ],
            lora_request=self._adapter,
            use_tqdm=False,
        )
        batch = PendingBatch(message["batch"], ids)
        # vLLM answers under the number alone, to which it has joined a random end.
        self._batches |= {one.partition("-")[0]: batch for one in ids}

    def _drop(self, message: DropBatches) -> None:
        last = message["last"]
        dropped = [one for one, batch in self._batches.items() if batch.number <= last]
        ids = {i for one in dropped for i in self._batches.pop(one).requests}
        self._llm.llm_engine.abort_request(list(ids), internal=True)

    def _step(self) -> None:
        for output in self._llm.llm_engine.step():
            if not output.finished:
                continue
            batch = self._batches.pop(output.request_id)
            batch.outputs[output.request_id] = output
            if len(batch.outputs) == len(batch.requests):
                self._answer(batch)

    def _answer(self, batch: PendingBatch) -> None:
        outputs = [batch.outputs[one.partition("-")[0]].outputs for one in batch.requests]
        free = [one for output in outputs for one in output if not isinstance(one.stop_reason, str)]
        if free:  # the text of the others is cut at the stop string
            texts = self._llm.get_tokenizer().batch_decode(
                [one.token_ids for one in free], skip_special_tokens=True
            )
            for one, text in zip(free, texts, strict=True):
                one.text = text
        packed, payload = pack_samples([[_sample(one) for one in output] for output in outputs])
        self._outbox.put((BatchDone(kind="done", batch=batch.number, samples=packed), payload))


@cache
def _import_vllm() -> None:
    """A tenth of the time to import it went into looking for garbage among what stays.

    Once, before any model: what is frozen is never collected, and a model must be.
    """
    gc.disable()
    from vllm import LLM  # noqa: F401 (vLLM loads most of itself with this name)

    gc.freeze()
    gc.enable()


def _sample(output: Any) -> Sample:
    if output.finish_reason not in ("stop", "length"):
        raise RuntimeError(f"a request ended with {output.finish_reason!r}")
    tokens, logps = array("i", output.token_ids), array("f", output.logprobs.logprobs)
    if len(tokens) != len(logps):
        raise RuntimeError(f"{len(tokens)} tokens came with {len(logps)} log-probabilities")
    return Sample(tokens, logps, output.text, output.finish_reason)


if __name__ == "__main__":
    VllmWorker(Parent()).run()
