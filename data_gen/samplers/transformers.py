"""Sampling with transformers' `generate`, for machines where vLLM does not run."""

import gc
from array import array
from collections.abc import Generator, Iterable, Sequence
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TopPLogitsWarper,
)
from transformers.utils import logging as transformers_logging

from data_gen.model_ref import ModelRef
from data_gen.remote_code import with_remedy
from data_gen.samplers.base import Engine, EngineError, Request, Sample
from data_gen.types import FinishReason, Sampling


class TransformersEngine(Engine):
    """A model in this process, on the first GPU if there is one."""

    def __init__(self, dtype: str, batch_size: int, threads: int = 1) -> None:
        self._threads = threads
        self._dtype = dtype
        self._batch_size = batch_size
        self._model: Any = None
        self._tokenizer: Any = None
        self._ends: set[int] = set()
        self._device = "cuda" if torch.cuda.is_available() else "cpu"

    def load(self, model: ModelRef) -> None:
        if model.adapter is not None:
            raise EngineError("transformers samples without adapters: merge it, or take vllm")
        torch.set_num_threads(self._threads)
        transformers_logging.disable_progress_bar()
        self.close()
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(
                model.path, revision=model.revision, trust_remote_code=model.trust_code
            )
            self._model = AutoModelForCausalLM.from_pretrained(
                model.path,
                revision=model.revision,
                dtype=self._dtype,
                use_safetensors=True,
                trust_remote_code=model.trust_code,
            ).to(self._device)
        # A folder from anywhere makes the library fail in any way.
        except Exception as error:
            raise EngineError(
                f"transformers cannot load {model.path}", with_remedy(str(error))
            ) from error
        self._model.eval()
        self._ends = self._end_tokens()
        # What a model's file recommends (a repetition penalty, a top-k) must not touch the samples.
        self._model.generation_config = GenerationConfig()

    def stream(
        self, batches: Iterable[Sequence[Request]], sampling: Sampling
    ) -> Generator[list[list[Sample]]]:
        for requests in batches:
            yield self._answers(requests, sampling)

    @torch.inference_mode()
    def _answers(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Sample]]:
        rows = [
            (len(request.tokens), i, j)
            for i, request in enumerate(requests)
            for j in range(sampling.samples)
        ]
        rows.sort()
        done: dict[tuple[int, int], Sample] = {}
        for start in range(0, len(rows), self._batch_size):
            batch = [(i, j) for _, i, j in rows[start : start + self._batch_size]]
            inputs = [Request(requests[i].tokens, requests[i].seed + j) for i, j in batch]
            done |= zip(batch, self._batch(inputs, sampling), strict=True)
        return [[done[i, j] for j in range(sampling.samples)] for i in range(len(requests))]

    @property
    def description(self) -> dict[str, str]:
        return {
            "engine": "transformers",
            "version": transformers.__version__,
            "torch": torch.__version__,
            "device": self._device,
            "threads": str(torch.get_num_threads()),
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "batch_size": str(self._batch_size),
        }

    @property
    def context_tokens(self) -> int:
        return int(self._model.config.get_text_config().max_position_embeddings)

    def close(self) -> None:
        self._model = None
        gc.collect()
        if self._device == "cuda":
            torch.cuda.empty_cache()

    def _batch(self, requests: Sequence[Request], sampling: Sampling) -> list[Sample]:
        width = max(len(request.tokens) for request in requests)
        pad = self._tokenizer.pad_token_id
        if pad is None:
            pad = min(self._ends, default=0)
        tokens = torch.full((len(requests), width), pad)
        for row, request in zip(tokens, requests, strict=True):
            row[width - len(request.tokens) :] = torch.tensor(list(request.tokens))
        attention = torch.tensor(
            [[0] * (width - len(r.tokens)) + [1] * len(r.tokens) for r in requests]
        )
        limits = [
            min(sampling.max_tokens, self.context_tokens - len(request.tokens))
            for request in requests
        ]
        draw = _SeededDraw([request.seed for request in requests], sampling, self._device)
        output = self._model.generate(
            input_ids=tokens.to(self._device),
            attention_mask=attention.to(self._device),
            logits_processor=LogitsProcessorList([draw]),
            # The draw above decides; generate only takes the one token that it leaves possible.
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=max(limits),
            stop_strings=list(sampling.stop) or None,
            tokenizer=self._tokenizer if sampling.stop else None,
            pad_token_id=pad,
            eos_token_id=sorted(self._ends) or None,
        )
        new = output[:, width:].cpu()
        logps = torch.stack(draw.logps, 1).cpu()
        return [
            self._sample(row[:limit], row_logps[:limit], sampling)
            for row, row_logps, limit in zip(new.tolist(), logps.tolist(), limits, strict=True)
        ]

    def _sample(self, tokens: list[int], logps: list[float], sampling: Sampling) -> Sample:
        length = next((i + 1 for i, token in enumerate(tokens) if token in self._ends), None)
        finish: FinishReason = "stop" if length else "length"
        length = length or len(tokens)
        text = self._tokenizer.decode(tokens[:length], skip_special_tokens=True)
        for stop in sampling.stop:
            if stop in text:
                finish, text = "stop", text[: text.index(stop)]
                length = self._tokens_until(tokens[:length], stop)
        return Sample(array("i", tokens[:length]), array("f", logps[:length]), text, finish)

    def _tokens_until(self, tokens: list[int], stop: str) -> int:
        """Tokens up to the one that completes the stop string; what follows is padding."""
        for count in range(1, len(tokens) + 1):
            if stop in self._tokenizer.decode(tokens[:count], skip_special_tokens=True):
                return count
        return len(tokens)

    def _end_tokens(self) -> set[int]:
        named = (self._model.generation_config.eos_token_id, self._tokenizer.eos_token_id)
        return {
            token
            for tokens in named
            for token in (tokens if isinstance(tokens, list) else [tokens])
            if token is not None
        }


class _SeededDraw(LogitsProcessor):  # type: ignore[misc] # the library is taken as Any
    """Draws every row's next token with that row's own seed and records its raw log-probability.

    `generate` has one random stream for a whole batch, so that a sample would depend on its
    neighbours. Here row r at step t uses the t-th uniform number of its own generator on the
    inverse cumulative distribution.
    """

    def __init__(self, seeds: Sequence[int], sampling: Sampling, device: str) -> None:
        self._temperature = sampling.temperature
        self._uniform = torch.stack(
            [
                torch.rand(
                    sampling.max_tokens,
                    dtype=torch.float64,
                    generator=torch.Generator().manual_seed(seed),
                )
                for seed in seeds
            ]
        ).to(device)
        self._top_p = TopPLogitsWarper(sampling.top_p) if sampling.top_p < 1 else None
        self.logps: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        raw = scores.float().log_softmax(-1)
        token = raw.argmax(-1) if self._temperature == 0 else self._draw(input_ids, raw)
        self.logps.append(raw.gather(-1, token.unsqueeze(-1)).squeeze(-1))
        return torch.full_like(scores, -torch.inf).scatter(-1, token.unsqueeze(-1), 0.0)

    def _draw(self, input_ids: Tensor, raw: Tensor) -> Tensor:
        scaled = raw / self._temperature
        if self._top_p is not None:
            scaled = self._top_p(input_ids, scaled)
        cumulative = scaled.double().softmax(-1).cumsum(-1)
        target = self._uniform[:, len(self.logps)] * cumulative[:, -1]
        return torch.searchsorted(cumulative, target.unsqueeze(-1), right=True).squeeze(-1)
