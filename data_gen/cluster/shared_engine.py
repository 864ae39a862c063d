"""One engine that several threads hand chunks to, so that it need not run empty between two."""

import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from data_gen.samplers.base import Engine, EngineLost, Request, Sample
from data_gen.types import Sampling


@dataclass(frozen=True, eq=False)
class _Chunk:
    requests: Sequence[Request]
    sampling: Sampling
    answers: Future[list[list[Sample]]] = field(default_factory=Future)


class SharedEngine:
    """Calls of `sample` at the same time share one stream of an engine that has a model loaded.

    There is no thread besides: whoever waits for an answer takes the stream on until it is there.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lost: EngineLost | None = None
        # Held by the one thread that uses the engine.
        self._turn = threading.Lock()
        self._arrived: deque[_Chunk] = deque()
        self._inside: deque[_Chunk] = deque()
        self._stream: Generator[list[list[Sample]]] | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the engine has raised EngineLost and has to load its model again."""
        return self._lost is not None

    def load(self, model: str, revision: str | None, adapter: str | None) -> None:
        """Puts a model in place of the one before. Raises what the engine raises."""
        with self._turn:
            while self._inside or self._arrived:
                self._advance()
            try:
                self.engine.load(model, revision, adapter)
            except EngineLost as error:
                self._lost = error
                raise
            self._lost = None

    def sample(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Sample]]:
        """As `Engine.generate`. Raises EngineLost, once the engine has raised it, until a load."""
        chunk = _Chunk(requests, sampling)
        self._arrived.append(chunk)
        with self._turn:
            while not chunk.answers.done():
                self._advance()
        return chunk.answers.result()

    def _advance(self) -> None:
        """Has the engine answer the next of the chunks inside of it."""
        if self._lost is not None:
            # What such an engine says of itself no longer tells why.
            _fail(self._arrived, self._lost)
            return
        if self._stream is None:
            sampling = self._arrived[0].sampling
            arrivals = _Arrivals(self._arrived, self._inside, sampling)
            self._stream = self.engine.stream(arrivals, sampling)
        try:
            answers = next(self._stream)
        except StopIteration:
            self._stream = None
        # Every thread whose chunk was inside raises it.
        except Exception as error:
            self._stream = None
            if isinstance(error, EngineLost):
                self._lost = error
            _fail(self._inside, error)
        else:
            self._inside.popleft().answers.set_result(answers)


def _fail(chunks: deque[_Chunk], error: Exception) -> None:
    while chunks:
        chunks.popleft().answers.set_exception(error)


class _Arrivals(Iterator[Sequence[Request]]):
    """What is there to be sampled in one way; after its end there may be more.

    An engine that asks again after each answer, as vLLM's does, gets what came meanwhile; for one
    that does not, the next stream has it.
    """

    def __init__(self, arrived: deque[_Chunk], inside: deque[_Chunk], sampling: Sampling) -> None:
        self._arrived = arrived
        self._inside = inside
        self._sampling = sampling

    def __next__(self) -> Sequence[Request]:
        if not self._arrived or self._arrived[0].sampling != self._sampling:
            raise StopIteration
        self._inside.append(self._arrived.popleft())
        return self._inside[-1].requests
