"""One engine that several threads hand chunks to, so that it need not run empty between two."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field

from data_gen.model_ref import ModelRef
from data_gen.samplers.base import Engine, EngineLost, Request, Sample
from data_gen.types import Sampling


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """One load of a model; its `number` is higher than that of the load before."""

    number: int
    model: ModelRef


@dataclass(frozen=True, eq=False)
class _Chunk:
    requests: Sequence[Request]
    setup: tuple[ModelLoad, Sampling]
    answers: Future[list[list[Sample]]] = field(default_factory=Future)


class SharedEngine:
    """Calls of `sample` at the same time share one stream of the engine.

    There is no thread besides: whoever waits for an answer takes the stream on until it is there.
    """

    def __init__(self, start: Callable[[ModelRef], Engine]) -> None:
        """`start` gives an engine with its first model."""
        self._start = start
        self._engine: Engine | None = None
        self._loaded: ModelLoad | None = None
        # Held by the one thread that uses the engine.
        self._turn = threading.Lock()
        self._arrived: deque[_Chunk] = deque()
        self._inside: deque[_Chunk] = deque()
        self._stream: Generator[list[list[Sample]]] | None = None

    def load(self, load: ModelLoad) -> Engine:
        """The engine with a model, when all chunks that are here are done.

        Raises what the engine raises, and CancelledError where a later model was asked for.
        """
        with self._turn:
            while self._inside or self._arrived:
                self._advance()
            return self._with(load)

    def sample(
        self, load: ModelLoad, requests: Sequence[Request], sampling: Sampling
    ) -> list[list[Sample]]:
        """As `Engine.generate`, with a model that is loaded where it is not. Raises as `load`."""
        chunk = _Chunk(requests, (load, sampling))
        self._arrived.append(chunk)
        with self._turn:
            while not chunk.answers.done():
                self._advance()
        return chunk.answers.result()

    def _advance(self) -> None:
        """Has the engine answer the next of the chunks inside of it."""
        try:
            if self._stream is None:
                load, sampling = self._arrived[0].setup
                arrivals = _Arrivals(self._arrived, self._inside)
                self._stream = self._with(load).stream(arrivals, sampling)
            answers = next(self._stream)
        except StopIteration:
            self._stream = None
        # Every thread whose chunk was inside raises it, or the first where its model did not load.
        except Exception as error:
            self._stream = None
            if isinstance(error, EngineLost):
                self._loaded = None
            if not self._inside:
                self._inside.append(self._arrived.popleft())
            while self._inside:
                self._inside.popleft().answers.set_exception(error)
        else:
            self._inside.popleft().answers.set_result(answers)

    def _with(self, load: ModelLoad) -> Engine:
        if self._loaded is not None and load.number < self._loaded.number:
            raise CancelledError
        if self._engine is None:
            self._engine = self._start(load.model)
        elif self._loaded != load:
            self._loaded = None
            self._engine.load(load.model)
        self._loaded = load
        return self._engine


class _Arrivals(Iterator[Sequence[Request]]):
    """What is there to be sampled in one way; after its end there may be more.

    An engine that asks again after each answer, as vLLM's does, gets what came meanwhile; for one
    that does not, the next stream has it.
    """

    def __init__(self, arrived: deque[_Chunk], inside: deque[_Chunk]) -> None:
        self._arrived = arrived
        self._inside = inside
        self._setup = arrived[0].setup

    def __next__(self) -> Sequence[Request]:
        if not self._arrived or self._arrived[0].setup != self._setup:
            raise StopIteration
        self._inside.append(self._arrived.popleft())
        return self._inside[-1].requests
