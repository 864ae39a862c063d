"""One vLLM process, as seen from outside of it."""

import re
from collections.abc import Mapping, Sequence

from data_gen.model_ref import ModelRef
from data_gen.processes.child import Child, ChildDied
from data_gen.processes.closing import Closing
from data_gen.remote_code import with_remedy
from data_gen.samplers.base import EngineError, EngineLost, Request, Sample
from data_gen.samplers.vllm_messages import (
    BatchDone,
    DropBatches,
    FromWorker,
    LoadModel,
    ModelLoaded,
    SubmitBatch,
    ToWorker,
)
from data_gen.samplers.vllm_settings import Option
from data_gen.samplers.wire import pack_requests, unpack_samples
from data_gen.types import Sampling

_SAMPLING = "vLLM cannot sample"
# In whatever vLLM says of a failure that it has not seen itself.
_ELSEWHERE = "root cause"
# At the end of a traceback, behind what vLLM's log puts before each line.
_ERROR = re.compile(
    r"(?:^|[\])] +)((?:\w+\.)*\w*(?:Error|Exception|Interrupt): .*\S)", re.MULTILINE
)


class Replica(Closing):
    """A process that holds a model and several batches of requests at once.

    It is of no use after an error. Every method raises EngineLost when the process has ended or
    failed as it sampled, which another process need not do, and `loaded` EngineError when the
    model does not load.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._child = Child("data_gen.samplers.vllm_worker", environment)
        self._dropped = 0
        self._loading = ""
        # A later batch may be done before an earlier one.
        self._early: dict[int, list[list[Sample]]] = {}

    @property
    def pid(self) -> int:
        return self._child.pid

    def load(self, model: ModelRef, options: dict[str, Option]) -> None:
        """Begins to load; `loaded` waits for it."""
        self._loading = f"vLLM cannot load {model.path}"
        message = LoadModel(
            kind="load",
            path=model.path,
            revision=model.revision,
            adapter=model.adapter,
            trust_code=model.trust_code,
            options=options,
        )
        self._send(message, b"", self._loading)

    def loaded(self) -> ModelLoaded:
        """What the process says of itself with the model loaded."""
        while True:
            message, _ = self._receive(self._loading)
            if message["kind"] == "loaded":
                return message

    def submit(self, number: int, requests: Sequence[Request], sampling: Sampling) -> None:
        """Hands in a batch; numbers rise from 1."""
        packed, payload = pack_requests(requests)
        message = SubmitBatch(
            kind="submit",
            batch=number,
            requests=packed,
            sampling={
                "n": sampling.samples,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "max_tokens": sampling.max_tokens,
                "stop": list(sampling.stop),
            },
        )
        self._send(message, payload, _SAMPLING)

    def answers(self, number: int) -> list[list[Sample]]:
        """Waits for the answers to one batch."""
        while number not in self._early:
            message, payload = self._receive(_SAMPLING)
            if message["kind"] == "done" and message["batch"] > self._dropped:
                self._early[message["batch"]] = unpack_samples(message["samples"], payload)
        return self._early.pop(number)

    def drop(self, last: int) -> None:
        """Ends all batches up to this number; nobody waits for them any more."""
        self._dropped = max(self._dropped, last)
        self._early = {number: early for number, early in self._early.items() if number > last}
        self._send(DropBatches(kind="drop", last=last), b"", _SAMPLING)

    def close(self) -> None:
        self._child.kill()

    def _send(self, message: ToWorker, payload: bytes, failure: str) -> None:
        try:
            self._child.send(message, payload)
        except ChildDied as error:
            raise EngineLost(failure, error) from error

    def _receive(self, awaited: str) -> tuple[ModelLoaded | BatchDone, bytes]:
        """The next answer; `awaited` is what has failed where none comes."""
        message: FromWorker
        try:
            message, payload = self._child.receive_with_payload()
        except ChildDied as error:
            raise EngineLost(awaited, error) from error
        if message["kind"] == "failed":
            reason = with_remedy(cause(message["error"], self._child.output()))
            if message["loading"]:
                raise EngineError(awaited, reason)
            # It may be a batch that failed, dropped before the load that is awaited.
            raise EngineLost(_SAMPLING, reason)
        return message, payload


def cause(error: str, output: str) -> str:
    """The error that a vLLM process reports; if that only says that another one failed, which
    holds the model on a GPU, the last error that the other one has printed."""
    if _ELSEWHERE not in error:
        return error
    printed = [line for line in _ERROR.findall(output) if _ELSEWHERE not in line]
    return printed[-1] if printed else error
