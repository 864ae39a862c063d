"""What a worker process may use: memory for its life, processor time for each task."""

import os
import resource
from collections.abc import Callable
from typing import Any

from data_gen.verifiers.pool import OUT_OF_MEMORY

_limits: dict[str, int] = {}


def _ready(setup: dict[str, Any]) -> Any:
    return "ready"


def limited(
    handle: Callable[[dict[str, Any]], Any], prepare: Callable[[dict[str, Any]], Any] = _ready
) -> Callable[[dict[str, Any]], Any]:
    """`handle` under the limits that the first message, {"setup": ...}, sets.

    `prepare` gets the setup under those limits, and its answer is the answer to that message.
    """

    def task(message: dict[str, Any]) -> Any:
        if "setup" in message:
            _set_limits(message["setup"])
            return prepare(message["setup"])
        # The kernel ends a task that computes for too long even if the parent is gone.
        used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        limit = used + _limits["cpu_seconds"]
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        try:
            return handle(message)
        except MemoryError:
            os._exit(OUT_OF_MEMORY)

    return task


def _set_limits(setup: dict[str, Any]) -> None:
    _limits.update(setup)
    size = _limits["memory_megabytes"] << 20
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
