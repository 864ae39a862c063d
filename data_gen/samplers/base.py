"""What every inference engine offers, and the sampler that puts prompts around it."""

import hashlib
from abc import abstractmethod
from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from data_gen.model_ref import ModelRef
from data_gen.processes.closing import Closing
from data_gen.prompts import Tokenizer, encode, render
from data_gen.types import Completion, FinishReason, Problem, Sampling


class EngineError(RuntimeError):
    """An inference engine that does not start or stops answering; one line that says why."""

    def __init__(self, what: str, cause: object = "") -> None:
        """`cause` may be long: its beginning and its end are kept."""
        reason = " ".join(str(cause).split())
        if len(reason) > 600:
            reason = f"{reason[:300]} [...] {reason[-300:]}"
        super().__init__(f"{what}: {reason}" if reason else what)


class EngineLost(EngineError):
    """A process of the engine has ended, or failed as it sampled: another may do the same work."""


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to be continued; sample j of it uses the seed `seed + j`."""

    tokens: Sequence[int]
    seed: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One continuation: sampled ids, their raw log-probabilities in nats, text without specials."""

    tokens: Sequence[int]
    logps: Sequence[float]
    text: str
    finish_reason: FinishReason


class Engine(Closing):
    """A loaded model that continues prompts. Closing it frees everything it held."""

    def __init__(self) -> None:
        self._description: dict[str, str] = {}
        self._context_tokens = 0

    @abstractmethod
    def load(self, model: ModelRef) -> None:
        """Puts `model` in place of the one before. Raises EngineError."""

    @abstractmethod
    def stream(
        self, batches: Iterable[Sequence[Request]], sampling: Sampling
    ) -> Generator[list[list[Sample]]]:
        """Each batch's answers, in the order of the batches: `sampling.samples` for each request.

        Batches are taken ahead of the answers, so that the engine never idles between two. What
        is sampled for a request depends on it and on `sampling` alone. Raises EngineError.
        """

    @property
    def description(self) -> dict[str, str]:
        """Name, version and the flags that samples depend on, as recorded beside the data."""
        return self._description

    @property
    def context_tokens(self) -> int:
        """How many tokens prompt and completion may have together."""
        return self._context_tokens

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Sample]]:
        """`sampling.samples` continuations for each request. Raises EngineError."""
        [answers] = self.stream([requests], sampling)
        return answers


def request_seed(seed: int, problem_id: str) -> int:
    """A seed for one problem in 0 .. 2^31 - 1 that depends on nothing but the run's and its id."""
    digest = hashlib.blake2b(f"{seed}/{problem_id}".encode(errors="surrogatepass"), digest_size=4)
    return int.from_bytes(digest.digest()) & 0x7FFFFFFF


class ModelSampler:
    """The Sampler of `data_gen.types`: a prompt style and a tokenizer around an engine."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, style: str) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._style = style

    def fitting(self, problems: Sequence[Problem]) -> tuple[list[Problem], list[Problem]]:
        """Parts the problems whose prompt leaves room for an answer from those whose does not.

        One token of room is enough: a completion that reaches the end of the context ends there
        and counts as truncated.
        """
        fits: list[Problem] = []
        too_long: list[Problem] = []
        for problem in problems:
            length = len(encode(problem, self._style, self._tokenizer))
            (fits if length < self._engine.context_tokens else too_long).append(problem)
        return fits, too_long

    def __call__(self, problems: Sequence[Problem], sampling: Sampling) -> list[Completion]:
        [completions] = self.stream([problems], sampling)
        return completions

    def stream(
        self, chunks: Iterable[Sequence[Problem]], sampling: Sampling
    ) -> Generator[list[Completion]]:
        """Each chunk's completions, as a call for that chunk gives them; chunks are taken ahead."""
        asked: list[tuple[Sequence[Problem], list[Request]]] = []

        def batches() -> Iterator[list[Request]]:
            for chunk in chunks:
                requests = [self._request(problem, sampling) for problem in chunk]
                asked.append((chunk, requests))
                yield requests

        with closing(self._engine.stream(batches(), sampling)) as stream:
            for answers in stream:
                chunk, requests = asked.pop(0)
                yield [
                    completion
                    for problem, request, samples in zip(chunk, requests, answers, strict=True)
                    for completion in self._completions(problem, request, samples)
                ]

    def _request(self, problem: Problem, sampling: Sampling) -> Request:
        tokens = array("i", encode(problem, self._style, self._tokenizer))
        return Request(tokens, request_seed(sampling.seed, problem.id))

    def _completions(
        self, problem: Problem, request: Request, samples: Sequence[Sample]
    ) -> Iterator[Completion]:
        prompt = render(problem, self._style, self._tokenizer)
        for j, sample in enumerate(samples):
            yield Completion(
                problem_id=problem.id,
                sample=j,
                seed=request.seed + j,
                prompt=prompt,
                prompt_tokens=request.tokens,
                text=sample.text,
                tokens=sample.tokens,
                logps=sample.logps,
                finish_reason=sample.finish_reason,
            )
