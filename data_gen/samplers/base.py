"""What every inference engine offers, and the sampler that puts prompts around it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

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


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to be continued; sample j of it uses the seed `seed + j`."""

    tokens: tuple[int, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One continuation: sampled ids, their raw log-probabilities in nats, text without specials."""

    tokens: tuple[int, ...]
    logps: tuple[float, ...]
    text: str
    finish_reason: FinishReason


class Engine(Protocol):
    """A loaded model that continues prompts. Closing it frees everything it held."""

    def load(self, model: str, revision: str | None = None) -> None:
        """Puts `model` (a folder or hub name) in place of the one before. Raises EngineError."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Sample]]:
        """`sampling.samples` continuations for each request."""

    @property
    def description(self) -> dict[str, str]:
        """Name, version and flags, as recorded beside the data."""

    @property
    def context_tokens(self) -> int:
        """How many tokens prompt and completion may have together."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


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
        requests = [
            Request(
                tuple(encode(problem, self._style, self._tokenizer)),
                request_seed(sampling.seed, problem.id),
            )
            for problem in problems
        ]
        completions = []
        answers = self._engine.generate(requests, sampling)
        for problem, request, samples in zip(problems, requests, answers, strict=True):
            prompt = render(problem, self._style, self._tokenizer)
            completions += [
                Completion(
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
                for j, sample in enumerate(samples)
            ]
        return completions
