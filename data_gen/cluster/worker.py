"""One actor on the cluster: waited for with a word to the user, and started again."""

import logging
import time
from collections.abc import Callable
from typing import Any

from data_gen.cluster.connection import Connection
from data_gen.cluster.head import ClusterError
from data_gen.cluster.places import Reservation, free_in_words
from data_gen.cluster.settings import ClusterSettings
from data_gen.samplers.base import EngineError, EngineLost

logger = logging.getLogger(__name__)

# A wait is told after the first of these seconds, and then each time they have doubled.
_TOLD_AFTER_SECONDS = 10


class Worker:
    """An actor that is started anew, and told again what it had been told, when it has ended.

    `start` makes an actor; `prepare` makes a new one ready and returns what it says of itself.
    """

    def __init__(
        self,
        connection: Connection,
        one: Reservation,
        start: Callable[[], Any],
        prepare: Callable[[Any], Any],
        settings: ClusterSettings,
    ) -> None:
        self._connection = connection
        self._one = one
        self._start = start
        self._prepare = prepare
        self._settings = settings
        self._wait: Wait | None = None
        self._reference: Any = None
        self.actor: Any = None
        self.about: Any = None

    def prepare(self) -> None:
        """Has the actor made ready, one that is started first where there is none."""
        if self.actor is None:
            self.actor = self._connection.ask(self._start)
        self._wait = Wait(self._connection, self._one, self.actor)
        self._reference = self._connection.ask(self._prepare, self.actor)

    def ready(self) -> None:
        """Waits for what `prepare` began, and begins again where the actor has ended meanwhile.

        Raises EngineError where none gets ready, or not in time.
        """
        exceptions = self._connection.ray.exceptions
        seconds = self._settings.wait_seconds
        for left in range(self._settings.restarts, -1, -1):
            try:
                self.about = self._connection.result(
                    self._reference, seconds=seconds, on_wait=self._tell
                )
            # What a task raised may be a TimeoutError as well.
            except exceptions.RayTaskError as error:
                self.end()
                if not is_lost(error):
                    raise EngineError("cluster: a worker failed", error.cause) from error
                self._begin_again(left, error.cause)
            except TimeoutError as error:
                state = "" if self._wait is None else self._wait.state()
                self.end()
                raise ClusterError(
                    f"cluster: no worker was ready within {seconds:g} s", state
                ) from error
            except exceptions.RayError as error:
                self.end()
                self._begin_again(left, error)
            else:
                return

    def again(self) -> None:
        """In place of an actor that has ended, a new one that is ready."""
        self.end()
        self.prepare()
        self.ready()

    def end(self) -> None:
        if self.actor is not None:
            actor, self.actor = self.actor, None
            self._connection.end(actor)

    def _begin_again(self, left: int, error: Exception) -> None:
        if not left:
            raise EngineError("cluster: a worker ended as it started", error) from error
        self.prepare()

    def _tell(self) -> None:
        if self._wait is not None:
            self._wait.tell()


def is_lost(error: Any) -> bool:
    """Whether what a task raised says that its worker is of no more use."""
    return isinstance(error.cause, EngineLost)


class Wait:
    """How long an actor has been waited for, and what it lacks."""

    def __init__(self, connection: Connection, one: Reservation, actor: Any) -> None:
        self._connection = connection
        self._one = one
        self._placed = connection.ask(actor.__ray_ready__.remote)
        self._began = time.monotonic()
        self._next = _TOLD_AFTER_SECONDS

    def tell(self) -> None:
        """Says now and then for what the wait is."""
        if self._seconds() > self._next:
            self._next *= 2
            logger.warning("cluster: %s", self.state())

    def tell_until_placed(self) -> None:
        """As `tell`, for work whose own length is nobody's concern."""
        if self._seconds() > self._next and not self._is_placed():
            self.tell()

    def state(self) -> str:
        what, seconds = self._one.what, self._seconds()
        if self._is_placed():
            return f"{what} has its place and has been getting ready for {seconds:.0f} s"
        lack = f"it needs {self._one}; {free_in_words(self._connection)}"
        return f"{what} has been waiting for a place for {seconds:.0f} s: {lack}"

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _is_placed(self) -> bool:
        placed, _ = self._connection.ask(self._connection.ray.wait, [self._placed], timeout=0)
        return bool(placed)
