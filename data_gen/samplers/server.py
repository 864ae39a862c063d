"""Sampling from a server with an OpenAI-compatible completions endpoint, such as `vllm serve`."""

import os
from array import array
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TYPE_CHECKING, NotRequired, TypedDict

from data_gen.model_ref import ModelRef
from data_gen.samplers.base import Engine, EngineError, Request, Sample
from data_gen.samplers.http_client import Client
from data_gen.samplers.server_settings import ServerSettings
from data_gen.types import Sampling

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

_REMEDY = "sample from a vLLM server, or set sampler.kind to vllm"
# What a server may have read from the model's own recommendations must not touch the samples.
_PLAIN_SAMPLING = {
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}


class _ServedModel(TypedDict):
    id: str
    max_model_len: NotRequired[object]
    owned_by: NotRequired[object]


class _Choice(TypedDict):
    """One sample as an OpenAI-compatible server sends it; nothing in it is checked yet."""

    token_ids: NotRequired[list[int] | None]
    logprobs: NotRequired[dict[str, list[float]] | None]
    text: object
    finish_reason: object


class ServerEngine(Engine):
    """The one model behind an address."""

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__()
        self._settings = settings
        self._name = f"the server {settings.url}"
        self._open = ExitStack()
        # An event loop in a thread of its own, for requests that wait at the same time.
        self._portal: BlockingPortal | None = None
        self._client: Client | None = None
        self._stands_for: ModelRef | None = None
        self._served = ""

    def load(self, model: ModelRef) -> None:
        """Takes what is served for `model`. Raises EngineError for a second model."""
        if model.adapter is not None:
            raise EngineError(f"{self._name} holds its own model: give the adapter to it")
        if self._stands_for not in (None, model):
            raise EngineError(
                f"{self._name} serves {self._served} and cannot sample {model.path}: trained"
                " policies need an engine that loads them, such as vllm"
            )
        client, portal = self._start()
        served, version = portal.call(self._ask_about, client)
        self._served = served["id"]
        context = self._settings.context_tokens or served.get("max_model_len")
        if not isinstance(context, int) or context < 1:
            raise EngineError(
                f"{self._name} does not tell max_model_len: set sampler.context_tokens"
            )
        self._context_tokens = context
        self._stands_for = model
        self._description = {
            "engine": "server",
            "version": version,
            "served": self._served,
            "device": "remote",
            **dict.fromkeys(("torch", "dtype", "threads"), "unknown"),
        }

    def stream(
        self, batches: Iterable[Sequence[Request]], sampling: Sampling
    ) -> Generator[list[list[Sample]]]:
        client, portal = self._client, self._portal
        if client is None or portal is None:
            raise EngineError(f"{self._name} cannot sample: no model is loaded")
        source = iter(batches)
        asked: deque[list[Future[list[Sample]]]] = deque()
        try:
            while True:
                while sum(map(len, list(asked)[1:])) < 2 * self._settings.concurrency:
                    requests = next(source, None)
                    if requests is None:
                        break
                    asked.append(
                        [
                            portal.start_task_soon(self._samples, client, one, sampling)
                            for one in requests
                        ]
                    )
                if not asked:
                    return
                answers = [answer.result() for answer in asked[0]]
                asked.popleft()
                yield answers
        finally:
            for answer in (one for batch in asked for one in batch):
                answer.cancel()

    def close(self) -> None:
        self._open.close()
        self._portal, self._client, self._stands_for = None, None, None

    def _start(self) -> tuple[Client, "BlockingPortal"]:
        from anyio.from_thread import start_blocking_portal

        settings = self._settings
        if self._client is None or self._portal is None:
            variable = settings.api_key_variable
            key = None if variable is None else os.environ.get(variable)
            if variable is not None and not key:
                raise EngineError(f"{self._name}: environment variable {variable} is not set")
            self._client = Client(settings, key)
            self._portal = self._open.enter_context(start_blocking_portal())
            self._open.callback(self._portal.call, self._portal.stop, True)
            self._open.callback(self._portal.call, self._client.close)
        return self._client, self._portal

    async def _ask_about(self, client: Client) -> tuple[_ServedModel, str]:
        """The served model's entry and the server's version."""
        url, wanted = self._settings.url, self._settings.model
        answer = await client.ask("GET", f"{url}/models")
        entries = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(entries, list) or not all(
            isinstance(one, dict) and isinstance(one.get("id"), str) for one in entries
        ):
            raise EngineError(f"{self._name} does not list its models: no OpenAI-compatible server")
        fitting = [one for one in entries if wanted in (None, one["id"])]
        if not fitting:
            names = ", ".join(one["id"] for one in entries) or "no model"
            raise EngineError(f"{self._name} serves {names}", f"not {wanted}: set sampler.model")
        try:
            version = await client.ask("GET", f"{url.removesuffix('/v1')}/version")
        except EngineError:  # only vLLM has this page
            version = None
        named = version.get("version") if isinstance(version, dict) else None
        return fitting[0], f"{fitting[0].get('owned_by') or 'unknown'} {named or ''}".strip()

    async def _samples(self, client: Client, request: Request, sampling: Sampling) -> list[Sample]:
        body = {
            "model": self._served,
            "prompt": list(request.tokens),
            "n": sampling.samples,
            "seed": request.seed,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": min(sampling.max_tokens, self._context_tokens - len(request.tokens)),
            "stop": list(sampling.stop),
            "logprobs": 0,
            "return_token_ids": True,
            **_PLAIN_SAMPLING,
        }
        answer = await client.ask("POST", f"{self._settings.url}/completions", body)
        choices = answer.get("choices") if isinstance(answer, dict) else None
        if not isinstance(choices, list) or len(choices) != sampling.samples:
            raise EngineError(f"{self._name} returned no {sampling.samples} samples: {_REMEDY}")
        try:
            ordered = sorted(choices, key=lambda choice: int(choice["index"]))
            return [self._sample(choice) for choice in ordered]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise EngineError(
                f"{self._name} returned samples that cannot be read", f"{error!r}: {_REMEDY}"
            ) from error

    def _sample(self, choice: _Choice) -> Sample:
        ids, logprobs = choice.get("token_ids"), choice.get("logprobs")
        if ids is None or logprobs is None:
            raise EngineError(
                f"{self._name} returns no token ids or no log-probabilities: {_REMEDY}"
            )
        tokens = array("i", ids)
        logps = array("f", logprobs["token_logprobs"])
        if len(tokens) != len(logps):
            raise ValueError(f"{len(tokens)} token ids, {len(logps)} log-probabilities")
        text, finish_reason = choice["text"], choice["finish_reason"]
        if not isinstance(text, str) or finish_reason not in ("stop", "length"):
            raise ValueError(f"a sample ended with {finish_reason!r}")
        return Sample(tokens, logps, text, finish_reason)
