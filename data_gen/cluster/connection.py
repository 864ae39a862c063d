"""A user's share of the connection to a Ray cluster, which notices when the cluster is gone."""

import math
import time
from collections.abc import Callable
from typing import Any

from data_gen.closing import Closing
from data_gen.cluster.head import LOOK_SECONDS, ClusterError
from data_gen.cluster.link import join, part
from data_gen.cluster.settings import ClusterSettings


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
        except ClusterError:
            self.close()
            raise

    @property
    def ray(self) -> Any:
        """The `ray` module. Raises ClusterError when the head is known to be gone."""
        if self.head.lost:
            self.head.check()
        return self._link.ray

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
        exceptions = self.ray.exceptions
        try:
            while True:
                self.head.check()
                with self._link.asking():
                    done, _ = self.ray.wait([reference], timeout=LOOK_SECONDS)
                    if done:
                        return self.ray.get(reference)
                if time.monotonic() > end:
                    raise TimeoutError
                on_wait()
        except exceptions.RayTaskError:
            raise
        except exceptions.RayError:
            # A worker is not to be started again where the whole cluster has ended.
            self.head.check(at_once=True)
            raise
        except ConnectionError as error:
            self.head.lost = "has closed the connection"
            raise ClusterError(f"cluster: the head at {self.head} {self.head.lost}", error) from (
                error
            )

    def end(self, actor: Any) -> None:
        """Kills an actor, where there is a cluster yet."""
        if not self.head.lost:
            self.ray.kill(actor, no_restart=True)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            part(self._link)
