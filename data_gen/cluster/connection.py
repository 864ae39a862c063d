"""A user's share of the connection to a Ray cluster, which notices when the cluster is gone."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from data_gen.cluster.head import LOOK_SECONDS, ClusterError
from data_gen.cluster.link import join, part
from data_gen.cluster.settings import ClusterSettings
from data_gen.processes.closing import Closing

logger = logging.getLogger(__name__)

_CLOSED = "has closed the connection"


class Connection(Closing):
    """The connection to the cluster of some settings.

    A process has one to Ray at a time, which ends when the last of these is closed: Ray ends a
    process that has lost a head, and what needs no cluster any more need not end with one.
    Raises ClusterError where Ray or the cluster is missing, or another cluster is still in use.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        self._link = join(settings.address)
        self._closed = False
        self.head = self._link.head
        try:
            self.head.check(at_once=True)
        except BaseException:
            self.close()
            raise

    @property
    def ray(self) -> Any:
        """The `ray` module; what asks the cluster anything is called through `ask`.

        Raises ClusterError when the head is known to be gone.
        """
        if self.head.lost:
            self.head.check()
        return self._link.ray

    def ask(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """`call(*arguments, **named)`, a function of Ray's that needs the cluster.

        Called by itself, after the connection has been left, it would start a cluster on this
        machine. Raises what it does, and ClusterError when the head is gone.
        """
        with self._asking():
            return call(*arguments, **named)

    def result(
        self,
        reference: Any,
        *,
        seconds: float = math.inf,
        on_wait: Callable[[], None] = lambda: None,
    ) -> Any:
        """What a reference stands for, once it is there; `on_wait` is called every second.

        Raises what `ray.get` does, TimeoutError after so many seconds, and ClusterError when the
        head is gone.
        """
        end = time.monotonic() + seconds
        while True:
            with self._asking():
                done, _ = self.ray.wait([reference], timeout=LOOK_SECONDS)
                if done:
                    return self.ray.get(reference)
            if time.monotonic() > end:
                raise TimeoutError
            on_wait()

    def end(self, actor: Any) -> None:
        """Kills an actor. Never fails: what has no cluster any more ends without being told."""
        ray = self._link.ray
        try:
            with self._link.asking():
                ray.kill(actor, no_restart=True)
        except (ClusterError, ray.exceptions.RayError) as error:
            logger.debug("cluster: a worker was not told to end: %s", error)
        except ConnectionError:
            self.head.lost = _CLOSED

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            part(self._link)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Around what is asked: the connection is not left, and a lost head is a ClusterError."""
        self.head.check()
        exceptions = self.ray.exceptions
        try:
            with self._link.asking():
                yield
        except exceptions.RayTaskError:
            raise
        except exceptions.RayError:
            # A worker is not to be started again where the whole cluster has ended.
            self.head.check(at_once=True)
            raise
        except ConnectionError as error:
            self.head.lost = _CLOSED
            raise ClusterError(f"cluster: the head at {self.head} {_CLOSED}", error) from error
