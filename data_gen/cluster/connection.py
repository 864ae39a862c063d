"""The one connection of this process to a Ray cluster, and actors that are started again."""

import logging
import os
from collections.abc import Callable
from typing import Any

from data_gen.samplers.base import EngineError


def connect(address: str) -> Any:
    """The `ray` module, connected. Raises EngineError where Ray or the cluster is missing."""
    # Ray reports its use to its makers unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # By default a driver inside of a virtual environment has the cluster build it again.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
    except ImportError as error:
        raise EngineError(
            "cluster: Ray is not installed", 'pip install "offline-rl[ray]"'
        ) from error
    if ray.is_initialized():
        return ray
    try:
        logging.getLogger("ray").setLevel(logging.ERROR)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise EngineError(
            f"cluster: no Ray cluster at {address!r}: ray start --head starts one", error
        ) from error
    return ray


class Worker:
    """One actor that is started anew, and told again what it had been told, when it has ended.

    `start` makes an actor; `prepare` makes a new one ready and returns what it says of itself.
    """

    def __init__(
        self,
        ray: Any,
        start: Callable[[], Any],
        prepare: Callable[[Any], Any],
        *,
        wait_seconds: float,
    ) -> None:
        self._ray = ray
        self._start = start
        self._prepare = prepare
        self._wait_seconds = wait_seconds
        self.actor: Any = None
        self.about: Any = None

    def begin(self) -> Any:
        """Starts the actor; returns the reference that `ready` waits for."""
        self.actor = self._start()
        return self._prepare(self.actor)

    def ready(self, reference: Any) -> None:
        """Raises EngineError where the actor does not get ready, or not in time."""
        try:
            self.about = self._ray.get(reference, timeout=self._wait_seconds)
        except self._ray.exceptions.GetTimeoutError as error:
            self.end()
            raise EngineError(
                f"cluster: no worker was ready within {self._wait_seconds:g} s",
                "are there free nodes with what each replica reserves?",
            ) from error
        except self._ray.exceptions.RayTaskError as error:
            self.end()
            raise EngineError("cluster: a worker failed", error.cause) from error
        except self._ray.exceptions.RayError as error:
            self.end()
            raise EngineError("cluster: a worker ended as it started", error) from error

    def again(self) -> None:
        """In place of an actor that has ended, a new one that is ready."""
        self.end()
        self.ready(self.begin())

    def end(self) -> None:
        if self.actor is not None:
            self._ray.kill(self.actor, no_restart=True)
            self.actor = None
